"""The HTTP server of one process: gevent's WSGI server with our request handler."""

import logging
from typing import Any

from gevent import pywsgi, socket

from socketio_server.engine import Engine
from socketio_server.handler import RequestHandler
from socketio_server.heartbeat import Deadlines
from socketio_server.options import Options


class Server(pywsgi.WSGIServer):
    """The HTTP server of one process.

    :param listener: a socket that listens already, or ``(host, port)``.
    :param application: Django's WSGI application.
    :param engine: answers what carries a ``sid``, and takes the WebSockets.
    :param path: the URL path of Engine.IO requests, ``/socket.io/`` say.
    """

    handler_class = RequestHandler

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
        self.head_deadlines: Deadlines[RequestHandler] = Deadlines(
            self.loop, options.head_timeout, RequestHandler.give_up
        )
        self.idle_deadlines: Deadlines[RequestHandler] = Deadlines(
            self.loop, options.keep_alive_timeout, RequestHandler.close_idle
        )
        self.logger = logging.getLogger("socketio_server.handshake")

    def handle(self, sock: Any, address: Any) -> None:
        """Serve a connection, if there are not too many already."""
        host = address[0] if isinstance(address, tuple) else ""
        refused = self.engine.admission.enter(host)
        if refused is not None:
            self.engine.stats.refuse("connection", host, f"{refused}: {host}")
            return
        handler = self.handler_class(sock, address, self)
        try:
            handler.handle()
        finally:
            if not handler.is_detached:
                self.engine.admission.leave(host)

    def init_socket(self) -> None:
        """Listen, with options that the accepted sockets inherit."""
        super().init_socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.options.send_buffer)
