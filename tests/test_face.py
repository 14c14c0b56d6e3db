"""The package's face, ``socketio_server`` itself."""

import subprocess
import sys


def test_can_be_imported_before_django_knows_its_settings() -> None:
    """gunicorn imports our worker before the project, and gevent then looks at all objects."""
    script = "import sys, socketio_server; sys.exit('django.conf' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
