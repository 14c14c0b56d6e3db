"""Hands connections over to other worker processes of the same machine, and takes theirs.

The descriptor of a connection, and what was read from it, go through a Unix socket
(``SCM_RIGHTS``, unix(7)); the process that gets them goes on as if it had accepted the connection
itself. Nothing here waits. Linux only, because of ``SO_PEERCRED`` and ``SOCK_SEQPACKET``.
"""

import _socket
import errno
import logging
import os
import random
import re
import struct
from array import array
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from typing import Any, Protocol

from socketio_server.net.loop import CallbackOwner, SharingLoop, Watcher
from socketio_server.net.refusals import RefusalKind, Refusals

MAX_MESSAGE = 212_992
"""Bytes of one message: Linux's default of ``SO_SNDBUF``, above which it accepts none. The head of
a request and the reads behind it are less."""

MESSAGES_AT_ONCE = 20
"""Connections taken from one worker before others get their turn."""

MAX_WAITING = 1000
"""Connections that wait at a time for one other worker."""

BACKLOG = 128
"""Workers that may connect at once."""

PAUSE = 1.0
"""Seconds without new workers, after there were too many open files for one."""

ACCEPTING = ".accepting"
"""Ends the name of the file that says that a worker takes new clients. No worker has it in its own
name."""

_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_CREDENTIALS = struct.Struct("3i")  # struct ucred: process, user, group
_DESCRIPTOR = array("i", (0,)).itemsize
_READ, _WRITE = 1, 2  # libev's event mask
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

logger = logging.getLogger("socketio_server")


class Outcome(Enum):
    """What became of a connection that was to be handed over."""

    MOVED = auto()
    """The other worker has it."""
    GONE = auto()
    """There is no such worker any more."""
    WAITS = auto()
    """The other worker has no room for now; ``try_again`` will be called."""
    BUSY = auto()
    """The other worker takes none for now, and too many wait for it."""


class Waiter(CallbackOwner, Protocol):
    """Waits until another worker has room."""

    def try_again(self) -> None:
        """Hand the connection over now. Called once, unless that has to wait again."""


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
    :param refusals: counts connections that are lost.
    """

    def __init__(
        self,
        folder: str,
        name: str,
        loop: SharingLoop,
        adopt: Adopt,
        refusals: Refusals,
    ) -> None:
        self._folder = folder
        self._loop = loop
        self._adopt = adopt
        self._refusals = refusals
        self._path = os.path.join(folder, name)
        self._mark = self._path + ACCEPTING
        self._door: _Door | None = None
        self._ways: dict[str, _Way] = {}  # to other workers, by name

    def start(self) -> None:
        """Begin to take connections, those of new clients included.

        :raises OSError: if there can be no socket in the folder.
        """
        with suppress(FileNotFoundError):  # of an earlier process with this number
            os.unlink(self._path)
        self._door = _Door(self._path, self._loop, self._adopt, self._refusals)
        with open(self._mark, "wb"):
            pass

    def retire(self) -> None:
        """Take no more new clients, but go on with one's own. Idempotent."""
        with suppress(OSError):
            os.unlink(self._mark)

    @property
    def others_accept(self) -> bool:
        """Whether other workers take new clients."""
        return bool(self._accepting())

    def close_door(self) -> None:
        """Take the connections that were handed over already, and no more. Idempotent.

        Other workers find no such worker from here on.
        """
        self.retire()
        door, self._door = self._door, None
        if door is not None:
            with suppress(OSError):
                os.unlink(self._path)
            door.close()

    def stop(self) -> None:
        """Neither take nor give connections any more. Idempotent."""
        self.close_door()
        for way in list(self._ways.values()):
            way.close()

    def leave_to_parent(self) -> None:
        """Close the sockets in a process that was forked from this worker's.

        Others would go on to hand connections over after the worker's end.
        """
        if self._door is not None:
            self._door.leave_to_parent()
        for way in self._ways.values():
            way.leave_to_parent()

    def count(self) -> int:
        """Return how many workers there are, this one included; one that was killed is none, though
        it leaves its socket behind.
        """
        try:
            names = set(filter(_NAME.fullmatch, os.listdir(self._folder)))
        except OSError:  # somebody has removed it
            names = set()
        return sum(map(_is_alive, names | {os.path.basename(self._path)}))

    def give(self, owner: str | None, fd: int, data: bytes, waiter: Waiter) -> Outcome:
        """Hand a connection over; if it moved, the caller closes its own descriptor.

        :param owner: another worker's name, as a client gave it; ``None``: any that takes new
            clients.
        :param fd: the connection's descriptor, which the loop may watch.
        :param data: for the other worker's ``adopt``.
        :param waiter: called when there is room, if there is none now.
        """
        if owner is not None:
            return self._give(owner, fd, data, waiter)
        for name in self._accepting():
            outcome = self._give(name, fd, data, waiter)
            if outcome is not Outcome.GONE:
                return outcome
            with suppress(OSError):  # it was killed
                os.unlink(os.path.join(self._folder, name + ACCEPTING))
        return Outcome.GONE

    def _accepting(self) -> list[str]:
        """Return the names of the other workers that take new clients, in any order."""
        try:
            files = os.listdir(self._folder)
        except OSError:  # somebody has removed it
            return []
        marks = [name for name in files if name.endswith(ACCEPTING)]
        others = [n.removesuffix(ACCEPTING) for n in marks if n != os.path.basename(self._mark)]
        random.shuffle(others)
        return others

    def _give(self, owner: str, fd: int, data: bytes, waiter: Waiter) -> Outcome:
        way = self._ways.get(owner)
        if way is None and not _NAME.fullmatch(owner):
            return Outcome.GONE
        try:
            if way is None:
                way = self._open_way(owner)
            outcome = way.send(fd, data, waiter)
        except BlockingIOError:  # too many workers connect to it
            return Outcome.BUSY
        except OSError:
            if owner in self._ways:
                self._ways[owner].close()
            return Outcome.GONE
        if outcome is Outcome.MOVED:
            self._loop.forget(fd)
        return outcome

    def _open_way(self, owner: str) -> "_Way":
        path = os.path.join(self._folder, owner)
        way = _Way(path, self._loop, lambda: self._ways.pop(owner, None))
        self._ways[owner] = way
        return way


def _is_alive(name: str) -> bool:
    """Return whether the process of a worker's name, which ends with its number, still runs."""
    try:
        os.kill(int(name.rpartition("-")[2]), 0)
    except OSError as error:
        return error.errno != errno.ESRCH  # otherwise the process is another user's
    return True


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
        self._loop = loop
        self._waiting: deque[Waiter] = deque()
        self._writer: Watcher | None = None  # while the other worker has no room
        # The other worker sends nothing: what can be read is the end.
        self._watcher = loop.io(self._sock.fileno(), _READ)
        loop.start(self._watcher, _Way.close, self)

    def send(self, fd: int, data: bytes, waiter: Waiter) -> Outcome:
        if len(self._waiting) >= MAX_WAITING:
            return Outcome.BUSY
        if self._writer is not None:
            self._waiting.append(waiter)
            return Outcome.WAITS
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", (fd,)))
        try:
            self._sock.sendmsg((data,), (rights,))
        except BlockingIOError:
            self._waiting.appendleft(waiter)  # it may have waited for longer than all others
            self._writer = self._loop.io(self._sock.fileno(), _WRITE)
            self._loop.start(self._writer, _Way._go_on, self)
            return Outcome.WAITS
        except OSError as error:
            if error.errno == errno.ETOOMANYREFS:  # the user's descriptors under way
                return Outcome.BUSY
            raise
        return Outcome.MOVED

    def close(self) -> None:
        self._watcher.close()
        self._stop_writer()
        self._sock.close()
        self._on_closed()
        for waiter in self._waiting:  # each finds out that the worker has gone
            self._loop.run_callback(type(waiter).try_again, waiter)
        self._waiting.clear()

    callback_raised = close

    def leave_to_parent(self) -> None:
        self._sock.close()

    def _go_on(self) -> None:
        """Let connections move while there is room."""
        self._stop_writer()
        while self._waiting and self._writer is None:
            waiter = self._waiting.popleft()
            self._loop.call(type(waiter).try_again, waiter, type(waiter).callback_raised)

    def _stop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class _Door:
    """Where other workers connect."""

    def __init__(self, path: str, loop: SharingLoop, adopt: Adopt, refusals: Refusals) -> None:
        self._loop = loop
        self._adopt = adopt
        self.refusals = refusals
        self.senders: set[_Sender] = set()
        self.space = bytearray(MAX_MESSAGE)
        """Room for one message of any sender at a time."""
        self._sock = _unix_socket()
        self._sock.bind(path)
        self._sock.listen(BACKLOG)
        self._told = False  # logged that there are too many open files
        self._watcher = loop.io(self._sock.fileno(), _READ)
        self._pause: Watcher | None = None
        self._listen()

    def close(self) -> None:
        """Accept the workers that have connected, and take what all have sent.

        What is shut down lets nobody in any more, but keeps what came before (unix(7)).
        """
        self._sock.shutdown(_socket.SHUT_RD)
        while self._accept():
            pass
        self._watcher.close()
        if self._pause is not None:
            self._pause.close()
        self._sock.close()
        for sender in tuple(self.senders):
            sender.finish()

    def leave_to_parent(self) -> None:
        self._sock.close()
        for sender in self.senders:
            sender.leave_to_parent()

    def callback_raised(self) -> None:
        """Go on: the one that came is closed, and comes again (``CallbackOwner``)."""
        self._listen()

    def _listen(self) -> None:
        self._loop.start(self._watcher, _Door._accept, self)

    def _rest(self, error: OSError) -> None:
        """Accept no worker for a moment: the loop would call again and again."""
        self._watcher.stop()
        if self._pause is None:
            self._pause = self._loop.timer(PAUSE)
        self._loop.start(self._pause, _Door._listen, self)
        if not self._told:
            self._told = True
            logger.warning("Another worker must wait until it may connect: %s (said once)", error)

    def _accept(self) -> bool:
        """Accept a worker; return whether there was one."""
        try:
            fd, _ = self._sock._accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._rest(error)
            return False  # otherwise the other one has gone
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
        return True


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

    def finish(self) -> None:
        """Take what has come, up to the end."""
        self._sock.shutdown(_socket.SHUT_RD)
        while self._take_one():
            pass

    def leave_to_parent(self) -> None:
        self._sock.close()

    def _receive(self) -> None:
        for _ in range(MESSAGES_AT_ONCE):
            if not self._take_one():
                return

    def _take_one(self) -> bool:
        """Take a connection; return whether there may be more."""
        space = self._door.space
        try:
            size, rights, flags, _ = self._sock.recvmsg_into(
                (space,), _socket.CMSG_SPACE(_DESCRIPTOR), _socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return False
        except OSError:
            size, rights, flags = 0, [], 0
        if not size:
            self.close()
            return False
        descriptors = array("i")
        for _level, _kind, content in rights:
            descriptors.frombytes(content[: len(content) // _DESCRIPTOR * _DESCRIPTOR])
        if len(descriptors) == 1:
            # One that raises must not end the sender: the connections behind it would be lost.
            sock = _socket.socket(fileno=descriptors[0])
            adopt = partial(self._adopt, data=bytes(space[:size]))
            self._loop.call(adopt, sock, _socket.socket.close)
            return True
        for descriptor in descriptors:
            os.close(descriptor)
        if flags & _socket.MSG_CTRUNC:
            self._door.refusals.add(
                RefusalKind.CONNECTION,
                None,
                "one of another worker, which is lost: too many open files; raise the limit "
                "(LimitNOFILE), or run more workers",
            )
        else:
            logger.warning("Another worker sent no connection: is it of the same release?")
        return True


def _unix_socket() -> Any:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    sock.setblocking(False)
    return sock


def _user_of(sock: _socket.socket) -> int:
    """Return the user of the process at the other end."""
    credentials = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(credentials)[1]
    return user
