"""Hands connections over to other worker processes of the same machine, and takes theirs.

The descriptors of connections, and what was read from them, go through a Unix socket
(``SCM_RIGHTS``, unix(7)); the process that gets them goes on as if it had accepted the connections
itself. Those of one turn of the loop go together: a message begins with how many there are, and
the bytes that belong to each. Nothing here waits. Linux only, because of ``SO_PEERCRED`` and
``SOCK_SEQPACKET``.
"""

import _socket
import errno
import fcntl
import logging
import os
import random
import re
import struct
import sys
import termios
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, Protocol

from socketio_server.net.loop import CallbackOwner, SharingLoop, Watcher
from socketio_server.net.refusals import RefusalKind, Refusals

MAX_MESSAGE = 212_992
"""Bytes of one message: Linux's default of ``SO_SNDBUF``, above which it accepts none. The head of
a request and the reads behind it are less."""

MAX_TOGETHER = 100
"""Connections in one message: Linux passes on no more than 253 descriptors."""

MAX_UNDER_WAY = 2 * MAX_TOGETHER
"""Connections that another worker has yet to take. Linux bounds the descriptors under way of all
processes of a user together (``ETOOMANYREFS``, unix(7)), and a worker that stands still must not
take that room from the others."""

LOOK_INTERVAL = 0.005
"""Seconds until it is looked again whether the other worker has taken them."""

MAX_WAITING = 1000
"""Connections that wait for one other worker at a time."""

BACKLOG = 128
"""Workers that may connect at once."""

PAUSE = 1.0
"""Seconds without new workers, after there were too many open files for one."""

OTHERS = "workers"
"""The client of refusals, for all other workers (``Refusals.add``)."""

ACCEPTING = ".accepting"
"""Ends the name of the file that says that a worker takes new clients. No worker has it in its own
name."""

_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_CREDENTIALS = struct.Struct("3i")  # struct ucred: process, user, group
_KIND = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK  # of all connections
_RIGHTS_SPACE = _socket.CMSG_SPACE(MAX_TOGETHER * array("i").itemsize)
_COUNT = array("I").itemsize
_RESERVED = 32  # bytes of ``SO_SNDBUF`` that Linux keeps back
_READ, _WRITE = 1, 2  # libev's event mask
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

logger = logging.getLogger("socketio_server")


class Outcome(Enum):
    """What became of a connection that was to be handed over."""

    MOVED = auto()
    """The other worker gets it at the end of this turn of the loop."""
    GONE = auto()
    """There is no such worker any more."""
    WAITS = auto()
    """The other worker has no room for now; ``try_again`` will be called."""
    BUSY = auto()
    """The other worker takes none for now, and too many wait for it; or it can't take this one,
    because too many bytes came with it."""


class Waiter(CallbackOwner, Protocol):
    """Waits until another worker has room."""

    @property
    def is_waiting(self) -> bool:
        """Whether the connection still waits: it may have been lost, or refused."""

    def try_again(self) -> None:
        """Hand the connection over now. Called once, unless that has to wait again."""


class Adopt(Protocol):
    """Takes connections of other workers, and those back that another worker did not take."""

    def __call__(self, data: bytes, sock: _socket.socket) -> None:
        """Take the bytes that came with a connected socket, and the socket."""


class Handover:
    """One worker's door to the others.

    :param folder: where each worker has its socket; only the workers' user may enter it.
    :param name: this worker's, which no other has.
    :param loop: the loop that connections live on.
    :param adopt: takes the connections.
    :param refusals: counts connections that are lost or refused.
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
        return bool(self._accepting_workers())

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
            way.finish()

    def leave_to_parent(self) -> None:
        """Close the sockets in a process that was forked from this worker's.

        Others would go on to hand connections over after the worker's end.
        """
        if self._door is not None:
            self._door.leave_to_parent()
        for way in self._ways.values():
            way.leave_to_parent()

    def count(self) -> int:
        """Return how many workers there are, this one included, without those that were killed:
        they leave their sockets behind.
        """
        try:
            names = set(filter(_NAME.fullmatch, os.listdir(self._folder)))
        except OSError:  # somebody has removed it
            names = set()
        return sum(map(is_alive, names | {os.path.basename(self._path)}))

    def give(self, owner: str | None, sock: _socket.socket, data: bytes, waiter: Waiter) -> Outcome:
        """Hand a connection over; if it moves, the caller has no socket any more.

        If the other worker ends in this very moment, this one adopts the connection itself.

        :param owner: another worker's name, as a client gave it; ``None``: any that takes new
            clients.
        :param sock: the connection's, which the loop may watch.
        :param data: for the other worker's ``adopt``.
        :param waiter: called when there is room, if there is none now.
        """
        if sock.fileno() < 0:  # it was lost, and its handler is yet to hear of it
            return Outcome.GONE
        if owner is not None:
            way = self._ways.get(owner)
            if way is not None:  # nearly always
                return way.send(sock, data, waiter)
            return self._give(owner, sock, data, waiter)
        for name in self._accepting_workers():
            outcome = self._give(name, sock, data, waiter)
            if outcome is not Outcome.GONE:
                return outcome
            with suppress(OSError):  # it was killed
                os.unlink(os.path.join(self._folder, name + ACCEPTING))
        return Outcome.GONE

    def _accepting_workers(self) -> list[str]:
        """Return the names of the other workers that take new clients, in any order."""
        try:
            files = os.listdir(self._folder)
        except OSError:  # somebody has removed it
            return []
        marks = [name for name in files if name.endswith(ACCEPTING)]
        others = [n.removesuffix(ACCEPTING) for n in marks if n != os.path.basename(self._mark)]
        random.shuffle(others)
        return others

    def _give(self, owner: str, sock: _socket.socket, data: bytes, waiter: Waiter) -> Outcome:
        way = self._ways.get(owner)
        if way is None:
            if not _NAME.fullmatch(owner):
                return Outcome.GONE
            try:
                way = self._open_way(owner)
            except BlockingIOError:  # too many workers connect to it
                return Outcome.BUSY
            except OSError:
                return Outcome.GONE
        return way.send(sock, data, waiter)

    def _open_way(self, owner: str) -> "_Way":
        path = os.path.join(self._folder, owner)
        way = _Way(path, self._loop, self._adopt, lambda: self._ways.pop(owner, None))
        self._ways[owner] = way
        return way


def is_alive(name: str) -> bool:
    """Return whether the process of a worker's name, which ends with its number, still runs."""
    try:
        os.kill(int(name.rpartition("-")[2]), 0)
    except OSError as error:
        return error.errno != errno.ESRCH  # otherwise the process is another user's
    return True


def clean(folder: str) -> None:
    """Remove what workers that were killed have left in their folder; their names are what stands
    before the first dot.
    """
    for file in os.listdir(folder):
        name = file.partition(".")[0]
        if _NAME.fullmatch(name) and not is_alive(name):
            with suppress(FileNotFoundError):  # another one has removed it
                os.unlink(os.path.join(folder, file))


class _Way:
    """A connection to another worker, for as long as that lives."""

    def __init__(
        self, path: str, loop: SharingLoop, adopt: Adopt, on_closed: Callable[[], object]
    ) -> None:
        self._sock = _unix_socket()
        try:
            self._sock.connect(path)
            if _user_of(self._sock) != os.geteuid():
                raise PermissionError  # another user has the folder
        except OSError:
            self._sock.close()
            raise
        self._adopt = adopt
        self._on_closed = on_closed
        self._loop = loop
        send_buffer = self._sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF)
        # Bytes of a message, without the sizes at its begin.
        self._room = min(send_buffer - _RESERVED, MAX_MESSAGE) - (MAX_TOGETHER + 1) * _COUNT
        self._leaving: list[_socket.socket] = []
        self._data: list[bytes] = []  # of each that leaves
        self._waiting: deque[Waiter] = deque()  # until those that leave have left
        self._under_way = 0  # connections sent since it had taken all
        self._writer: Watcher | None = None  # while the other worker has no room
        # The other worker sends nothing: what can be read is the end.
        self._watcher = loop.io(self._sock.fileno(), _READ)
        loop.start(self._watcher, _Way.close, self)

    def send(self, sock: _socket.socket, data: bytes, waiter: Waiter) -> Outcome:
        """Send a connection at the end of this turn, or let it wait."""
        if len(data) > self._room:
            return Outcome.BUSY
        if self._writer is not None:
            if len(self._waiting) >= MAX_WAITING and not self._forget_ended():
                return Outcome.BUSY
            self._waiting.append(waiter)
            return Outcome.WAITS
        if not self._leaving:
            self._loop.run_callback(_Way._send_all, self)
        self._leaving.append(sock)
        self._data.append(data)
        return Outcome.MOVED

    def _forget_ended(self) -> bool:
        """Forget the connections that wait no more; return whether there were any."""
        before = len(self._waiting)
        self._waiting = deque(waiter for waiter in self._waiting if waiter.is_waiting)
        return len(self._waiting) < before

    def finish(self) -> None:
        """Send what is to leave, and close."""
        self._send_all()
        self.close()

    def close(self) -> None:
        """Take back the connections that have not left."""
        self._watcher.close()
        self._stop_writer()
        self._sock.close()
        self._on_closed()
        leaving = [*zip(self._leaving, self._data, strict=True)]
        self._leaving, self._data = [], []
        for sock, data in leaving:
            self._loop.call(partial(self._adopt, data), sock, _socket.socket.close)
        for waiter in self._waiting:  # each finds out that the worker has gone
            self._loop.run_callback(type(waiter).try_again, waiter)
        self._waiting.clear()

    callback_raised = close

    def leave_to_parent(self) -> None:
        self._sock.close()

    def _send_all(self) -> None:
        """Send the connections that are to leave, as many together as there may be."""
        while self._leaving and self._writer is None:
            count = self._count_together()
            if self._under_way + count > MAX_UNDER_WAY and not self._has_taken_all():
                self._wait(self._loop.timer(LOOK_INTERVAL))
                return
            together = self._leaving[:count]
            descriptors = array("i", map(_socket.socket.fileno, together))
            try:
                self._send_together(descriptors, self._data[:count])
            except BlockingIOError:
                self._wait(self._loop.io(self._sock.fileno(), _WRITE))
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS:  # it has ended
                    self.close()
                    return
                self._wait(self._loop.timer(PAUSE))  # for the user's descriptors under way
            else:
                self._under_way += count
                del self._leaving[:count], self._data[:count]
                self._loop.forget(descriptors)
                for sock in together:
                    sock.close()

    def _has_taken_all(self) -> bool:
        """Return whether the other worker has taken all that was sent (ioctl_tty(2))."""
        unread = array("i", [0])
        fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, unread)
        if unread[0]:
            return False
        self._under_way = 0
        return True

    def _count_together(self) -> int:
        """Return how many connections may go in one message."""
        ends = [*accumulate(map(len, self._data[:MAX_TOGETHER]))]
        return max(1, bisect_right(ends, min(self._room, MAX_MESSAGE // 2)))

    def _send_together(self, descriptors: "array[int]", data: list[bytes]) -> None:
        sizes = array("I", (len(data), *map(len, data)))
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)
        self._sock.sendmsg((sizes, *data), (rights,))

    def _wait(self, writer: Watcher) -> None:
        self._writer = writer
        self._loop.start(writer, _Way._go_on, self)

    def _go_on(self) -> None:
        """Let connections leave while there is room."""
        self._stop_writer()
        self._send_all()
        while self._waiting and self._writer is None:
            for _ in range(min(len(self._waiting), MAX_TOGETHER)):
                waiter = self._waiting.popleft()
                self._loop.call(type(waiter).try_again, waiter, type(waiter).callback_raised)
            self._send_all()

    def _stop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class _Door:
    """Where other workers connect."""

    def __init__(self, path: str, loop: SharingLoop, adopt: Adopt, refusals: Refusals) -> None:
        self._loop = loop
        self._adopt = adopt
        self._refusals = refusals
        self.senders: set[_Sender] = set()
        self.space = bytearray(MAX_MESSAGE)
        """Room for one message of any sender at a time."""
        self._sock = _unix_socket()
        self._sock.bind(path)
        self._sock.listen(BACKLOG)
        self._has_warned = False  # logged that there are too many open files
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

    def refuse(self, why: str) -> None:
        """Count what another process sent, and log it now and then."""
        self._refusals.add(RefusalKind.CONNECTION, OTHERS, why)

    def callback_raised(self) -> None:
        """Go on: the one that came is closed, and comes again (``CallbackOwner``)."""
        self._listen()

    def _listen(self) -> None:
        self._loop.start(self._watcher, _Door._accept, self)

    def _pause_accepting(self, error: OSError) -> None:
        """Accept no worker for a moment: the loop would call again and again."""
        self._watcher.stop()
        if self._pause is None:
            self._pause = self._loop.timer(PAUSE)
        self._loop.start(self._pause, _Door._listen, self)
        if not self._has_warned:
            self._has_warned = True
            logger.warning("Another worker must wait until it may connect: %s (said once)", error)

    def _accept(self) -> bool:
        """Accept a worker; return whether there was one."""
        try:
            fd, _ = self._sock._accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._pause_accepting(error)
            return False  # otherwise the other one has gone
        sock = _socket.socket(fileno=fd)
        try:
            if _user_of(sock) == os.geteuid():
                self.senders.add(_Sender(sock, self, self._loop, self._adopt))
            else:
                sock.close()
                self.refuse("a process of another user tried to hand one over")
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
        while self._receive():
            pass

    def leave_to_parent(self) -> None:
        self._sock.close()

    def _receive(self) -> bool:
        """Take the connections of a message; return whether there was one."""
        space = self._door.space
        try:
            size, rights, flags, _ = self._sock.recvmsg_into(
                (space,), _RIGHTS_SPACE, _socket.MSG_CMSG_CLOEXEC
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
            descriptors.frombytes(content[: len(content) // _COUNT * _COUNT])
        pieces = _split(bytes(space[:size]))
        lost = len(pieces) - len(descriptors)
        if lost < 0 or (lost and not flags & _socket.MSG_CTRUNC) or not pieces:
            for descriptor in descriptors:
                os.close(descriptor)
            self._door.refuse("another worker sent none: is it of the same release?")
            return True
        call, adopt = self._loop.call, self._adopt
        for descriptor, data in zip(descriptors, pieces, strict=False):
            # Told the kind, it asks the system for less; it is non-blocking, and has its options.
            try:
                sock = _socket.socket(-1, _KIND, 0, descriptor)
            except OSError:
                os.close(descriptor)
                self._door.refuse("another worker sent a descriptor that is no socket")
                continue
            # One that raises must not end the sender: the connections behind it would be lost.
            call(partial(adopt, data), sock, _socket.socket.close)
        for _ in range(lost):
            self._door.refuse(
                "one of another worker, which is lost: too many open files; raise the limit "
                "(LimitNOFILE), or run more workers"
            )
        return True


def _split(message: bytes) -> list[bytes]:
    """Return the data of each connection in a message; nothing if it can't be understood."""
    sizes = array("I")
    count = int.from_bytes(message[:_COUNT], sys.byteorder)
    if not 0 < count <= MAX_TOGETHER or len(message) < (count + 1) * _COUNT:
        return []
    end = (count + 1) * _COUNT
    sizes.frombytes(message[_COUNT:end])
    if end + sum(sizes) != len(message):
        return []
    ends = [*accumulate(sizes, initial=end)]
    return [message[start:stop] for start, stop in pairwise(ends)]


def _unix_socket() -> Any:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    sock.setblocking(False)
    return sock


def _user_of(sock: _socket.socket) -> int:
    """Return the user of the process at the other end."""
    credentials = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(credentials)[1]
    return user
