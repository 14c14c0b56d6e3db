"""The HTTP server of one process: gevent's WSGI server, whose connections live on the loop."""

import _socket
import logging
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from gevent import get_hub, pywsgi, socket

from socketio_server.engine.engine import Engine
from socketio_server.http.body import StreamedBody
from socketio_server.http.connection import HttpConnection, State, make_deadlines, write_size_of
from socketio_server.http.siblings import Siblings
from socketio_server.net.connection import Connection
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.handover import Outcome, Waiter
from socketio_server.net.loop import Loop
from socketio_server.net.workers import WorkerPool
from socketio_server.options import Options


class HttpListener(pywsgi.WSGIServer):
    """The HTTP server of one process.

    :param listener: a listening socket, or ``(host, port)``.
    :param application: Django's WSGI application.
    :param engine: answers the requests of its sessions, and takes WebSockets.
    :param loop: the loop that its connections live on.
    :param clock: a monotonic clock, in seconds.
    :param wall_clock: seconds since the epoch.
    :param request_ended: gets the bytes of each request to the application that is over.
    :param siblings: the other workers that listen on the same socket, if there are any.
    """

    def __init__(
        self,
        listener: Any,
        application: Any,
        *,
        engine: Engine,
        options: Options,
        loop: Loop,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        request_ended: Callable[[int], None],
        siblings: Siblings | None = None,
    ) -> None:
        super().__init__(
            listener,
            application,
            log=None,
            error_log=logging.getLogger("socketio_server.http"),
            environ={"wsgi.multithread": True},
        )
        self.engine = engine
        self.options = options
        self.guarded_loop = loop
        self.request_workers = WorkerPool(
            get_hub(), loop, options, options.max_connections, clock=clock
        )
        self.wall_clock = wall_clock
        self.request_ended = request_ended
        self.is_copy = False
        self.has_siblings = siblings is not None
        self._siblings = siblings
        self._number = 0 if siblings is None else siblings.add(self.handle)
        self.write_size = write_size_of(options)
        self.deadlines = make_deadlines(loop, options, clock)
        self.stream_deadlines = Deadlines(
            loop,
            options.body_timeout,
            StreamedBody.time_out,
            clock=clock,
            on_raised=StreamedBody.callback_raised,
        )
        # One function for all connections of an address, to save memory.
        self._leave = lru_cache(maxsize=1024)(partial(partial, engine.admission.leave))

    def do_read(self) -> Any:
        """Accept a connection as a plain socket (overrides gevent's, which makes a gevent one)."""
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

    def handle(
        self, sock: Any, address: Any, data: bytes | None = None, head_size: int = 0
    ) -> None:
        """Serve a connection on the loop.

        :param data: the bytes that another worker has read from it; ``None``: it is new.
        :param head_size: how many of them are a request's head; 0 if it is not complete.
        """
        connection = Connection(sock, self.guarded_loop, self.engine.output)
        self.guarded_loop.call(
            partial(self._serve, address, data, head_size), connection, Connection.callback_raised
        )

    def _serve(
        self, address: Any, data: bytes | None, head_size: int, connection: Connection
    ) -> None:
        """Serve a connection, unless there are too many."""
        host = address[0] if isinstance(address, tuple) else ""
        leave = self._leave(host)
        refused = self.engine.admission.enter(host)
        if refused is not None:
            connection.abort()
            kind, why = refused
            self.engine.stats.refusals.add(kind, host, f"{why}: {host}")
            return
        connection.on_closed = leave
        HttpConnection(connection, address, self).start(data, head_size)

    def hand_over(
        self,
        tcp: Connection,
        address: Any,
        owner: str | None,
        data: bytes,
        head_size: int,
        waiter: Waiter,
    ) -> Outcome:
        """Hand a connection over to another worker (``HttpServer``)."""
        if self._siblings is None:
            return Outcome.GONE
        return self._siblings.give(
            self._number, owner, tcp.socket, address, data, head_size, waiter
        )

    def hand_over_waiting(self) -> None:
        """Hand the connections over that wait for a request, if other workers take new clients."""
        for state in (State.IDLE, State.HEAD):
            for connection in tuple(self.deadlines[state] or ()):
                self.guarded_loop.call(
                    HttpConnection.move_away, connection, HttpConnection.callback_raised
                )

    def init_socket(self) -> None:
        """Listen, with options that the accepted sockets inherit."""
        super().init_socket()
        if self.socket.family in (socket.AF_INET, socket.AF_INET6):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.options.send_buffer)
