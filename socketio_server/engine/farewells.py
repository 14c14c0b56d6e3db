"""What remains of sessions over polling that have ended: the last packets, and the goodbye.

A polling client learns from the answer to its next GET that its session is over.
"""

from collections.abc import Callable
from typing import NamedTuple

from socketio_server.engine.origins import Site
from socketio_server.engine.session import Session
from socketio_server.engine.session_cookie import Binding
from socketio_server.engine.transports.polling import PollingTransport
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.loop import Loop
from socketio_server.protocol.close_reasons import CloseReason

_IN_GOOD_ORDER = frozenset(
    [
        CloseReason.FORCED_CLOSE,
        CloseReason.FORCED_SERVER_CLOSE,
        CloseReason.SERVER_SHUTTING_DOWN,
        CloseReason.SESSION_REPLACED,
    ]
)
"""The server's own reasons: a polling client may still fetch its last packets."""


class Farewell(NamedTuple):
    """The remains of a session over polling that has ended.

    :param transport: still has the packets that the client may fetch.
    :param binding: the session's.
    :param site: the session's.
    :param client_left: whether the client closed it. Then a GET that arrived together with the
        close is answered as if it had waited already, because the loop reports descriptors that
        are ready at once in no order.
    """

    transport: PollingTransport
    binding: Binding | None
    site: Site
    client_left: bool

    @property
    def is_over(self) -> bool:
        """Whether the client has fetched the goodbye."""
        return not (self.client_left or self.transport.queued_bytes)


class Farewells:
    """Keeps the remains of sessions for as long as their clients may fetch them.

    :param loop: the gevent loop.
    :param timeout: seconds that a client has for each of its last GETs.
    :param clock: a monotonic clock, in seconds.
    """

    def __init__(self, loop: Loop, timeout: float, *, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._kept: dict[str, Farewell] = {}  # by sid
        self._deadlines: Deadlines[str] = Deadlines(
            loop, timeout, self._timed_out, clock=clock, on_raised=self._forget
        )

    @property
    def are_over(self) -> bool:
        """Whether every client has fetched its goodbye, or is given up."""
        return all(rest.is_over for rest in self._kept.values())

    def find(self, sid: str) -> Farewell | None:
        """Return the remains of a session; ``None`` if there are none."""
        return self._kept.get(sid)

    def keep(self, session: Session, transport: PollingTransport) -> None:
        """Keep what the client of a session that has ended may fetch; drop all else.

        :param transport: the session's last one.
        """
        sid = session.sid
        client_left = session.close_reason is CloseReason.TRANSPORT_CLOSE
        rest = Farewell(transport, session.binding, session.site, client_left)
        if client_left:
            self._kept[sid] = rest
            self._loop.run_callback(Farewells._forget, self, sid)
        elif session.close_reason in _IN_GOOD_ORDER and not rest.is_over:
            self._kept[sid] = rest
            self._deadlines.add(sid)
        else:  # after the answer to a waiting GET
            self._loop.run_callback(PollingTransport.discard_queue, transport)

    def prolong(self, sid: str) -> None:
        """Give a client that sends a GET the whole time once more, if its session has ended."""
        if sid in self._deadlines:
            self._deadlines.add(sid)

    def callback_raised(self) -> None:
        """Do nothing: what was to be forgotten is forgotten (``CallbackOwner``)."""

    def _timed_out(self, sid: str) -> None:
        """Forget a session whose client sent no further GET in time."""
        if self._kept[sid].transport.is_answering:
            self._deadlines.add(sid)
        else:
            self._forget(sid)

    def _forget(self, sid: str) -> None:
        """Drop the remains of a session."""
        transport = self._kept.pop(sid).transport
        self._loop.call(PollingTransport.discard_queue, transport, PollingTransport.callback_raised)
