"""Puts a server together from Django's settings and the layers below, and runs it.

The one place where all parts meet. ``Service`` needs a process in which gevent has patched the
standard library; the command ``runserver_socketio`` sees to that.
"""

import gc
from collections.abc import Sequence
from time import monotonic
from typing import Any

import gevent
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse
from django.utils.module_loading import import_string
from gevent import monkey

from socketio_server.clients import CLIENTS, Clients
from socketio_server.dispatcher import CallNext, Dispatcher, EventCall
from socketio_server.engine import Engine
from socketio_server.events import REGISTRY, Registry
from socketio_server.hooks import DjangoHooks
from socketio_server.options import Options
from socketio_server.server import Server
from socketio_server.workers import WorkerPool

GC_THRESHOLDS = (20_000, 20, 50)
"""How rarely the cyclic garbage collector runs: the server itself makes no cycles per message."""


class Service:
    """A running server.

    :param application: Django's WSGI application.
    :param listener: ``(host, port)``; port 0 lets the system choose one.
    :raises ImproperlyConfigured: if gevent has not patched the standard library.
    """

    def __init__(
        self,
        application: Any,
        listener: Any,
        options: Options,
        *,
        registry: Registry = REGISTRY,
        clients: Clients = CLIENTS,
    ) -> None:
        _check_patched()
        hub = gevent.get_hub()
        loop: Any = hub.loop
        self._options = options
        self._dispatcher = Dispatcher(
            registry=registry,
            clients=clients,
            hooks=DjangoHooks(options.message_log_format),
            pool=WorkerPool(hub, options),
            loop=loop,
            options=options,
            middleware=load_middleware(options.middleware),
        )
        self.engine = Engine(loop, options, self._dispatcher.accept)
        self.path = reverse("socketio")
        self._server = Server(
            listener, application, engine=self.engine, path=self.path, options=options
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port = self._server.server_port
        assert port is not None  # a TCP socket has one
        return port

    def start(self) -> None:
        """Listen, and serve from now on.

        :raises OSError: if the address can't be listened on.
        """
        self._server.start()
        # What lives as long as the process is never looked at again, and what lives as long as a
        # connection seldom: with thousands of them the collector takes a third of the time else.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)

    def stop(self) -> None:
        """Say goodbye to all clients and run their last handlers; returns when that is done.

        Takes no longer than ``drain_timeout``. Idempotent.
        """
        if self._server.started and not self.engine.draining:
            self._server.stop_accepting()
            until = monotonic() + self._options.drain_timeout
            self.engine.drain()
            self._dispatcher.wait_until_idle(until - monotonic())
            self._server.stop(timeout=0)


def load_middleware(paths: Sequence[str]) -> CallNext | None:
    """Return what wraps every event: the first path's middleware outermost, as in Django's list.

    Each path names a callable that takes the next one and returns its own.
    """
    if not paths:
        return None
    call_next: CallNext = EventCall.run
    for path in reversed(paths):
        call_next = import_string(path)(call_next)
    return call_next


def _check_patched() -> None:
    unpatched = [name for name in ("socket", "threading") if not monkey.is_module_patched(name)]
    if unpatched:
        raise ImproperlyConfigured(
            f"gevent has not patched {' and '.join(unpatched)}: start the server with "
            "`python manage.py runserver_socketio`, or put `from gevent import monkey; "
            "monkey.patch_all()` before every other import of the program."
        )
