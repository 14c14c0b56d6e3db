"""No more than the example needs: no users, no database."""

DEBUG = True
SECRET_KEY = "insecure: good for an example on your own machine only"

INSTALLED_APPS = ["socketio_server"]
ROOT_URLCONF = "urls"
STATIC_URL = "static/"
TIME_ZONE = "UTC"
USE_TZ = True
