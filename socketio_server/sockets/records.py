"""What processes tell each other of their sockets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from socketio_server.protocol.cluster_requests import SocketFields
from socketio_server.protocol.names import RESERVED_HEAD
from socketio_server.protocol.redis_adapter import room_names

T_co = TypeVar("T_co", covariant=True)

PRIVATE_HEADERS = frozenset(["authorization", "cookie", "proxy-authorization"])
"""Headers that no other process needs: whoever has them is the user."""

LATEST = datetime.max.replace(tzinfo=UTC).timestamp() * 1000


class Count(int):
    """A number of sockets, and how many servers have not told theirs.

    :param missing: as in ``Replies``.
    """

    missing: int

    def __new__(cls, count: int = 0, missing: int = 0) -> "Count":
        """Make it."""
        made = super().__new__(cls, count)
        made.missing = missing
        return made


class Replies(tuple[T_co, ...]):
    """What the servers of a cluster have replied, and how many have not.

    :param missing: how many servers did not reply in time; 1 or more while the broker is lost.
    """

    missing: int

    def __new__(cls, replies: Iterable[T_co] = (), missing: int = 0) -> "Replies[T_co]":
        """Make it."""
        made = super().__new__(cls, replies)
        made.missing = missing
        return made

    def __repr__(self) -> str:
        return f"Replies({super().__repr__()}, missing={self.missing})"


@dataclass(frozen=True)
class Handshake:
    """The request with which a client has connected, as far as other processes may know it.

    :param address: the client's.
    :param time: when it came; ``None`` if the other server does not tell.
    :param query: the parameters of its URL; empty unless ``SOCKETIO_SHARE_QUERY`` is on there.
    :param headers: by their names in lower case, without those in ``PRIVATE_HEADERS``.
    """

    address: str
    time: datetime | None
    query: Mapping[str, Any]
    headers: Mapping[str, Any]


@dataclass(frozen=True)
class SocketRecord:
    """A socket of any process.

    :param session_id: its id.
    :param channels: the channels that it is on.
    :param data: its ``socket.data``.
    """

    session_id: str
    channels: tuple[str, ...]
    data: Any
    handshake: Handshake


@dataclass(frozen=True)
class ServerStats:
    """A server of any process, in numbers.

    :param server: its name: the machine's and the process's id.
    :param counters: what ``stats()`` returns there.
    """

    server: str
    counters: Mapping[str, Any]


def read_record(fields: SocketFields) -> SocketRecord:
    """Return the record in what a server has told of a socket; what is malformed is left out."""
    handshake = fields.handshake
    headers = handshake.get("headers")
    query = handshake.get("query")
    return SocketRecord(
        fields.id,
        tuple(
            room
            for room in room_names(fields.rooms)
            if room != fields.id and not room.startswith(RESERVED_HEAD)
        ),
        {} if fields.data is None else fields.data,
        Handshake(
            str(handshake.get("address", "")),
            _read_time(handshake.get("issued")),
            query if isinstance(query, dict) else {},
            {
                name: value
                for name, value in (headers if isinstance(headers, dict) else {}).items()
                if str(name).lower() not in PRIVATE_HEADERS
            },
        ),
    )


def _read_time(milliseconds: Any) -> datetime | None:
    if isinstance(milliseconds, int | float) and 0 <= milliseconds < LATEST:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    return None
