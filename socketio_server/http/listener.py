"""The HTTP server of one process: gevent's WSGI server, whose connections live on the loop."""

import _socket
import logging
from functools import lru_cache, partial
from time import monotonic
from typing import Any

from gevent import get_hub, pywsgi, socket

from socketio_server.engine.engine import Engine
from socketio_server.http.connection import HttpConnection
from socketio_server.net.connection import Connection
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.workers import WorkerPool
from socketio_server.options import Options


class Server(pywsgi.WSGIServer):
    """The HTTP server of one process.

    :param listener: a socket that listens already, or ``(host, port)``.
    :param application: Django's WSGI application.
    :param engine: answers what carries a ``sid``, and takes the WebSockets.
    :param path: the URL path of Engine.IO requests, ``/socket.io/`` say.
    """

    def __init__(
        self,
        listener: Any,
        application: Any,
        *,
        engine: Engine,
        path: str,
        options: Options,
    ) -> None:
        super().__init__(
            listener,
            application,
            log=None,
            error_log=logging.getLogger("socketio_server.http"),
            environ={"wsgi.multithread": True},
        )
        self.engine = engine
        self.path = path
        self.options = options
        self.request_workers = WorkerPool(
            get_hub(), options, options.max_connections, clock=monotonic
        )
        make, loop = Deadlines[HttpConnection], self.loop
        self.head_deadlines = make(
            loop, options.head_timeout, HttpConnection.give_up_head, clock=monotonic
        )
        self.idle_deadlines = make(
            loop, options.keep_alive_timeout, HttpConnection.cut, clock=monotonic
        )
        self.body_deadlines = make(
            loop, options.body_timeout, HttpConnection.give_up_body, clock=monotonic
        )
        self.closing_deadlines = make(
            loop, options.close_timeout, HttpConnection.cut, clock=monotonic
        )
        # One function for all connections of an address.
        self._leave = lru_cache(maxsize=1024)(partial(partial, engine.admission.leave))
        self.logger = logging.getLogger("socketio_server.handshake")

    def do_read(self) -> Any:
        """Accept a connection (overrides gevent's, which makes a socket of its own kind)."""
        listener: Any = self.socket
        try:
            fd, address = listener._accept()
        except BlockingIOError:
            return None
        family, kind, protocol = listener.family, listener.type, listener.proto
        return _socket.socket(family, kind, protocol, fileno=fd), address

    def do_handle(self, sock: Any, address: Any) -> None:
        """Serve a connection on the loop (overrides gevent's, which spawns a greenlet)."""
        self.handle(sock, address)

    def handle(self, sock: Any, address: Any) -> None:
        """Serve a connection, if there are not too many already."""
        host = address[0] if isinstance(address, tuple) else ""
        admission = self.engine.admission
        refused = admission.enter(host)
        if refused is not None:
            self.engine.stats.refusals.add(RefusalKind.CONNECTION, host, f"{refused}: {host}")
            sock.close()
            return
        connection = Connection(sock, self.loop, self.options, self._leave(host))
        HttpConnection(connection, address, self).start()

    def init_socket(self) -> None:
        """Listen, with options that the accepted sockets inherit."""
        super().init_socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.options.send_buffer)
