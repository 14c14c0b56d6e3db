"""Requests to other servers that wait for their responses."""

from collections.abc import Callable

from gevent.event import Event
from msgspec import UNSET

from socketio_server.cluster.broker import Responses
from socketio_server.protocol.cluster_requests import ACKNOWLEDGEMENT, Response


class Inquiry:
    """The responses to one request, and how many are still to come.

    Each server responds once; to a broadcast that is to be acknowledged with the number of its
    clients, whose acknowledgements come after it. More than that is dropped, because anybody may
    respond who can write to Redis.

    :param acknowledged: called with each acknowledgement; must not wait.
    """

    def __init__(self, acknowledged: Callable[[Response], None] | None = None) -> None:
        self._acknowledged = acknowledged
        self.done = Event()
        """Set when no response is missing, or nobody knows how many are to come."""
        self._responses: list[Response] = []
        self._servers: int | None = None  # those that are to respond; None until they are counted
        self._acknowledgements = 0  # those that are still to come

    def count(self, servers: int | None) -> None:
        """Note how many servers are to respond; ``None``: nobody can tell, if nobody has yet."""
        if servers is not None:
            self._servers = max(servers, 0)
            del self._responses[self._servers :]
        elif self._servers is None:
            self.done.set()
        self._look_if_done()

    def take(self, response: Response) -> None:
        """Take the response of a server, or of one of its clients."""
        if response.type == ACKNOWLEDGEMENT:
            if self._acknowledgements <= 0:
                return
            self._acknowledgements -= 1
            if self._acknowledged is not None:
                self._acknowledged(response)
        elif self._servers is None or len(self._responses) < self._servers:
            self._responses.append(response)
            if response.client_count is not UNSET:
                self._acknowledgements += response.client_count
        self._look_if_done()

    @property
    def responses(self) -> Responses:
        """Return the responses of servers that have come."""
        missing = 1 if self._servers is None else max(self._servers - len(self._responses), 0)
        return Responses(self._responses, missing)

    def _look_if_done(self) -> None:
        if (
            self._servers is not None
            and len(self._responses) >= self._servers
            and self._acknowledgements <= 0
        ):
            self.done.set()
