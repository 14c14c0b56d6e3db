"""The demo project for a WSGI server, which serves the page; Socket.IO needs our own command."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

application = get_wsgi_application()
