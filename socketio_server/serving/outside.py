"""What the functions for everywhere need of the settings, and the broker of processes that run no
server.
"""

import logging
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from time import monotonic
from typing import Any

from socketio_server.cluster.broker import Broker
from socketio_server.cluster.memory import MemoryBroker
from socketio_server.options import Options
from socketio_server.serving import current
from socketio_server.serving.brokers import make_publisher
from socketio_server.sockets.this_process import CLIENTS

logger = logging.getLogger("socketio_server")

NO_SERVER = (
    "No Socket.IO server runs in this process, so no client can be reached from it: call this in "
    "the process of `python manage.py runserver_socketio`, in a view or a handler for instance, "
    "or set SOCKETIO_BROKER_URL."
)

live_servers = 0
"""How many servers of tests run in processes of their own, whose clients nothing reaches from here.
"""

read_option: Callable[[str], Any] = partial(getattr, Options())
"""Returns an option by its name; set by the Django app, which knows the project's settings."""


def option(name: str) -> Any:
    """Return an option of the server that runs in this process, else that of the settings.

    :raises ImproperlyConfigured: if the setting is invalid.
    """
    server = current.server
    return read_option(name) if server is None else getattr(server.options, name)


def connect() -> None:
    """Let this process, which runs no server, publish to the servers of its project.

    Without ``SOCKETIO_BROKER_URL``, and in Django's tests, it reaches nobody.

    :raises ImproperlyConfigured: if the settings are invalid, or redis-py is not installed.
    """
    url = None if _is_tested() else read_option("broker_url")
    if url is None:
        if CLIENTS.broker.reaches_others:
            CLIENTS.broker = MemoryBroker(CLIENTS)
        return
    CLIENTS.broker = _publisher(url, read_option("broker_prefix"))


def is_alone() -> bool:
    """Return whether this process runs no server, and has no client and no broker either."""
    return current.server is None and not CLIENTS and not CLIENTS.broker.reaches_others


def tell_unsent(what: str) -> None:
    """Log that something reaches nobody from this process, once, while ``DEBUG`` is on or tests
    run a live server.
    """
    from django.conf import settings  # late, because programs import the package before it

    if live_servers or (settings.configured and settings.DEBUG):
        _tell_unsent(what)


@lru_cache(maxsize=100)
def _tell_unsent(what: str) -> None:
    logger.warning("%s reaches nobody. %s (said once)", what, NO_SERVER)


@lru_cache(maxsize=1)
def _publisher(url: str, prefix: str) -> Broker:
    """Return the publisher of this process; another one only after the settings have changed."""
    return make_publisher(CLIENTS, url, prefix, clock=monotonic)


def _is_tested() -> bool:
    """Return whether Django's test environment is set up: it replaces the sending of mail."""
    return hasattr(sys.modules.get("django.core.mail"), "outbox")
