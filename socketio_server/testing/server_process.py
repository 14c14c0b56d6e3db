"""The program of a live server's process, run by ``gevent.monkey``: see ``live``.

It reads an order from stdin, writes the port that it listens on to stdout, a line, and serves until
stdin ends. Whatever the project prints goes to stderr, because nobody reads a second line.
"""

import os
import pickle
import signal
import sys
from socket import create_server
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.servers.basehttp import get_internal_wsgi_application
from django.db import connections
from django.test.utils import setup_test_environment
from gevent.fileobject import FileObjectPosix

from socketio_server import conf
from socketio_server.serving.server import Server


def main() -> None:
    """Serve."""
    host, debug, names, overrides = pickle.load(sys.stdin.buffer)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Control-C is for the tests, which end stdin
    report = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    databases = {alias: {**settings.DATABASES[alias], "NAME": names[alias]} for alias in names}
    for name, value in {**overrides, "DATABASES": databases}.items():
        setattr(settings, name, value)
    django.setup()
    setup_test_environment(debug)
    application: Any = get_internal_wsgi_application()
    if apps.is_installed("django.contrib.staticfiles"):
        application = StaticFilesHandler(application)
    listener = create_server((host, 0))
    server = Server(application, [listener], conf.options())
    server.start()
    os.write(report, f"{server.port}\n".encode())
    FileObjectPosix(sys.stdin.fileno(), "rb").read()
    server.stop()
    connections.close_all()


if __name__ == "__main__":
    main()
