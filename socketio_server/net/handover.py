"""Hands connections over to other worker processes of the same machine, and takes theirs.

The descriptor of a connection, and what was read from it, go through a Unix socket
(``SCM_RIGHTS``, unix(7)); the process that gets them goes on as if it had accepted the connection
itself. Nothing here waits. Linux only, because of ``SO_PEERCRED`` and ``SOCK_SEQPACKET``.
"""

import _socket
import logging
import os
import re
import struct
from array import array
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from typing import Any, Protocol

from socketio_server.net.loop import SharingLoop

MAX_MESSAGE = 212_992
"""Bytes of one message: Linux's default of ``SO_SNDBUF``, above which it accepts none. The head of
a request and the reads behind it are less."""

MESSAGES_AT_ONCE = 20
"""Connections taken from one worker before others get their turn."""

BACKLOG = 128
"""Workers that may connect at once."""

_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_CREDENTIALS = struct.Struct("3i")  # struct ucred: process, user, group
_DESCRIPTOR = array("i", (0,)).itemsize
_READ = 1  # libev's event mask

logger = logging.getLogger("socketio_server")


class Outcome(Enum):
    """What became of a connection that was to be handed over."""

    MOVED = auto()
    """The other worker has it."""
    GONE = auto()
    """There is no such worker any more."""
    BUSY = auto()
    """The other worker takes none for now."""


class Adopt(Protocol):
    """Takes connections of other workers."""

    def __call__(self, sock: _socket.socket, data: bytes) -> None:
        """Take a connected socket, and the bytes that came with it."""


class Handover:
    """One worker's door to the others.

    :param folder: where each worker has its socket; only the workers' user may enter it.
    :param name: this worker's, which no other has.
    :param loop: the loop that connections live on.
    :param adopt: takes the connections.
    """

    def __init__(
        self,
        folder: str,
        name: str,
        loop: SharingLoop,
        adopt: Adopt,
    ) -> None:
        self._folder = folder
        self._loop = loop
        self._adopt = adopt
        self._path = os.path.join(folder, name)
        self._door: _Door | None = None
        self._ways: dict[str, _Way] = {}  # to other workers, by name

    def start(self) -> None:
        """Begin to take connections.

        :raises OSError: if there can be no socket in the folder.
        """
        with suppress(FileNotFoundError):  # of an earlier process with this number
            os.unlink(self._path)
        self._door = _Door(self._path, self._loop, self._adopt)

    def stop(self) -> None:
        """Take no more connections, and forget the other workers. Idempotent."""
        if self._door is not None:
            self._door.close()
            self._door = None
            with suppress(OSError):
                os.unlink(self._path)
        for way in list(self._ways.values()):
            way.close()

    def give(self, owner: str, fd: int, data: bytes) -> Outcome:
        """Hand a connection over; if it moved, the caller closes its own descriptor.

        :param owner: another worker's name, as a client gave it.
        :param fd: the connection's descriptor, which the loop may watch.
        :param data: for the other worker's ``adopt``.
        """
        if not _NAME.fullmatch(owner):
            return Outcome.GONE
        try:
            way = self._ways.get(owner) or self._open_way(owner)
            way.send(fd, data)
        except BlockingIOError:
            return Outcome.BUSY
        except OSError:
            if owner in self._ways:
                self._ways[owner].close()
            return Outcome.GONE
        self._loop.forget(fd)
        return Outcome.MOVED

    def _open_way(self, owner: str) -> "_Way":
        path = os.path.join(self._folder, owner)
        way = _Way(path, self._loop, lambda: self._ways.pop(owner, None))
        self._ways[owner] = way
        return way


class _Way:
    """A connection to another worker, for as long as that lives."""

    def __init__(self, path: str, loop: SharingLoop, on_closed: Callable[[], object]) -> None:
        self._sock = _unix_socket()
        try:
            self._sock.connect(path)
        except OSError:
            self._sock.close()
            raise
        self._on_closed = on_closed
        # The other worker sends nothing: what can be read is the end.
        self._watcher = loop.io(self._sock.fileno(), _READ)
        loop.start(self._watcher, _Way.close, self)

    def send(self, fd: int, data: bytes) -> None:
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", (fd,)))
        self._sock.sendmsg((data,), (rights,))

    def close(self) -> None:
        self._watcher.close()
        self._sock.close()
        self._on_closed()

    callback_raised = close


class _Door:
    """Where other workers connect."""

    def __init__(self, path: str, loop: SharingLoop, adopt: Adopt) -> None:
        self._loop = loop
        self._adopt = adopt
        self.senders: set[_Sender] = set()
        self.space = bytearray(MAX_MESSAGE)
        """Room for one message of any sender at a time."""
        self._sock = _unix_socket()
        self._sock.bind(path)
        self._sock.listen(BACKLOG)
        self._watcher = loop.io(self._sock.fileno(), _READ)
        loop.start(self._watcher, _Door._accept, self)

    def close(self) -> None:
        self._watcher.close()
        self._sock.close()
        for sender in tuple(self.senders):
            sender.close()

    def callback_raised(self) -> None:
        """Go on: the one that came is closed, and comes again (``CallbackOwner``)."""

    def _accept(self) -> None:
        try:
            fd, _ = self._sock._accept()
        except OSError:  # the other one has gone, or there are too many open files
            return
        sock = _socket.socket(fileno=fd)
        try:
            if _user_of(sock) == os.geteuid():
                self.senders.add(_Sender(sock, self, self._loop, self._adopt))
            else:
                logger.warning("A process of another user tried to hand over a connection")
                sock.close()
        except BaseException:  # an internal error
            sock.close()
            raise


class _Sender:
    """A connection from another worker."""

    def __init__(self, sock: _socket.socket, door: _Door, loop: SharingLoop, adopt: Adopt) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._door = door
        self._loop = loop
        self._adopt = adopt
        self._watcher = loop.io(sock.fileno(), _READ)
        loop.start(self._watcher, _Sender._receive, self)

    def close(self) -> None:
        self._watcher.close()
        self._sock.close()
        self._door.senders.discard(self)

    callback_raised = close

    def _receive(self) -> None:
        space = self._door.space
        for _ in range(MESSAGES_AT_ONCE):
            try:
                size, rights, flags, _ = self._sock.recvmsg_into(
                    (space,), _socket.CMSG_SPACE(_DESCRIPTOR), _socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                size, rights, flags = 0, [], 0
            if not size:
                self.close()
                return
            descriptors = array("i")
            for _level, _kind, content in rights:
                descriptors.frombytes(content[: len(content) // _DESCRIPTOR * _DESCRIPTOR])
            if len(descriptors) == 1:
                # One that raises must not end the sender: the connections behind it would be lost.
                sock = _socket.socket(fileno=descriptors[0])
                adopt = partial(self._adopt, data=bytes(space[:size]))
                self._loop.call(adopt, sock, _socket.socket.close)
                continue
            for descriptor in descriptors:
                os.close(descriptor)
            if flags & _socket.MSG_CTRUNC:
                logger.warning("A connection of another worker is lost: too many open files")
            else:
                logger.warning("Another worker sent no connection: is it of the same release?")


def _unix_socket() -> Any:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    sock.setblocking(False)
    return sock


def _user_of(sock: _socket.socket) -> int:
    """Return the user of the process at the other end."""
    credentials = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(credentials)[1]
    return user
