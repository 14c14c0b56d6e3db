"""The other workers of this machine: connections move to the one whose session they ask for.

Workers listen on the same sockets, and the kernel chooses who accepts a connection. A session lives
in one worker, and the requests of its client come on any connection.
"""

import _socket
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from socketio_server.net.handover import OTHERS, Handover, Outcome, Waiter
from socketio_server.net.loop import SharingLoop
from socketio_server.net.refusals import RefusalKind, Refusals

Natural = Annotated[int, Meta(ge=0, lt=2**32)]

Take = Callable[[_socket.socket, Any, bytes, int], object]


class _Moved(msgspec.Struct, array_like=True):
    """What goes along with a connection.

    :param listener: the number of the socket that it was accepted from; the same for all workers.
    :param host: the peer's IP address; empty at a Unix socket, whose peers nearly never have one.
    :param numbers: the rest of its address: the port, and with IPv6 two more; none at a Unix
        socket.
    :param data: all that was read since the last request that was answered; empty if the
        connection waits for the next one.
    :param head_size: bytes of the request's head; 0 if it is not complete.
    """

    listener: Natural
    host: str
    numbers: Annotated[tuple[Natural, ...], Meta(max_length=3)]
    data: bytes
    head_size: Natural


class Siblings:
    """Gives connections to the other workers, and takes theirs.

    :param folder: of the workers' Unix sockets.
    :param name: this worker's name.
    :param loop: the loop that connections live on.
    :param refusals: counts connections that are lost or refused.
    """

    def __init__(self, folder: str, name: str, loop: SharingLoop, refusals: Refusals) -> None:
        self._handover = Handover(folder, name, loop, self._adopt, refusals)
        self._refusals = refusals
        self._takers: list[Take] = []
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(_Moved).decode

    def add(self, take: Take) -> int:
        """Add a listener; return its number.

        :param take: serves a connection of another worker's same listener, with its peer's
            address, the bytes that were read from it already, and how many of them are the head.
        """
        self._takers.append(take)
        return len(self._takers) - 1

    def start(self) -> None:
        """Begin to take connections.

        :raises OSError: if there can be no socket in the folder.
        """
        self._handover.start()

    def retire(self) -> None:
        """Take no more new clients, but go on with the requests of one's own. Idempotent."""
        self._handover.retire()

    @property
    def others_accept(self) -> bool:
        """Whether other workers take new clients."""
        return self._handover.others_accept

    def close_door(self) -> None:
        """Take what was handed over already, and no more connections. Idempotent."""
        self._handover.close_door()

    def leave_to_parent(self) -> None:
        """Leave everything to the process that this one was forked from."""
        self._handover.leave_to_parent()

    def stop(self) -> None:
        """Neither take nor give connections any more. Idempotent."""
        self._handover.stop()

    def count(self) -> int:
        """Return how many workers there are, this one included."""
        return self._handover.count()

    def give(
        self,
        listener: int,
        owner: str | None,
        sock: _socket.socket,
        address: Any,
        data: bytes,
        head_size: int,
        waiter: Waiter,
    ) -> Outcome:
        """Give a connection to another worker; if it moves, the caller has no socket any more.

        :param listener: the number of the listener that accepted it.
        :param owner: the worker's name, as a client's ``sid`` has it; ``None``: any that takes new
            clients.
        :param sock: the connection's.
        :param address: the peer's.
        :param data: the request that the worker is to answer, and all bytes behind it.
        :param head_size: bytes of the request's head; 0 if it is not complete.
        :param waiter: called when there is room, if there is none now.
        """
        host, numbers = (address[0], address[1:]) if isinstance(address, tuple) else ("", ())
        message = self._encode(_Moved(listener, host, numbers, data, head_size))
        return self._handover.give(owner, sock, message, waiter)

    def _adopt(self, data: bytes, sock: _socket.socket) -> None:
        try:
            moved = self._decode(data)
            take = self._takers[moved.listener]
            if moved.head_size > len(moved.data):
                raise msgspec.ValidationError
        except (msgspec.DecodeError, IndexError):
            sock.close()
            why = "another worker sent what is no request: is it of the same release?"
            self._refusals.add(RefusalKind.CONNECTION, OTHERS, why)
            return
        address = (moved.host, *moved.numbers) if moved.numbers else ""  # as accept returns it
        take(sock, address, moved.data, moved.head_size)
