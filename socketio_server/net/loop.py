"""The event loop: the part of gevent's that the server uses, and the guard round its callbacks.

gevent prints what a callback raises, and stops the watcher of a descriptor for good: the connection
would stay open, and never be read again. Therefore everything that the loop calls is called through
a ``Loop``, which knows whose callback it is.
"""

import logging
import os
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from gevent import monkey

from socketio_server.net.log import place_of
from socketio_server.net.refusals import Refusals

logger = logging.getLogger("socketio_server")


class CallbackOwner(Protocol):
    """Has callbacks that the loop calls."""

    def callback_raised(self) -> None:
        """Called after a callback of this owner raised: end the one client that it served, or go on
        with the others. Idempotent.
        """


T = TypeVar("T")


class Watcher(Protocol):
    """Watches a descriptor, or a timer, for the loop (``Loop.start``)."""

    def stop(self) -> None:
        """Stop calling back, until the watcher is started again."""

    def close(self) -> None:
        """Free the watcher for good."""


class IOWatcher(Watcher, Protocol):
    """Watches a descriptor."""

    priority: int
    """In one turn of the loop, watchers of a higher priority are called first, watchers of the same
    priority in any order. At first 0; to be set while the watcher is stopped."""


class Loop(Protocol):
    """The loop, as the server sees it; tests pass their own.

    A callback is a function whose first argument is its owner, mostly a method of the owner's
    class: a bound method would take more memory for each connection.
    """

    def io(self, fd: int, events: int) -> IOWatcher:
        """Return a watcher of a descriptor: 1 for reading, 2 for writing, 3 for both."""

    def timer(self, after: float) -> Watcher:
        """Return a timer."""

    def start(
        self,
        watcher: Any,
        callback: Callable[..., object],
        owner: CallbackOwner,
        *args: Any,
    ) -> None:
        """Start a watcher of this loop, or give it another callback."""

    def run_callback(
        self, callback: Callable[..., object], owner: CallbackOwner, *args: Any
    ) -> None:
        """Call back before the loop waits again."""

    def call(
        self, callback: Callable[[T], object], item: T, on_raised: Callable[[T], object]
    ) -> None:
        """Call a function now, as one of several parts of a callback.

        :param on_raised: called with the item if the function raised.
        """


class SharingLoop(Loop, Protocol):
    """A loop whose connections may go to other processes."""

    def forget(self, descriptors: Iterable[int]) -> None:
        """Stop watching descriptors whose connections another process holds as well.

        Call it before the descriptors are closed.
        """


class GuardedLoop:
    """gevent's loop with a guard: what a callback raises is logged, and ends the callback's owner,
    but nothing else (``Loop``).

    :param refusals: decides whether an exception from the same place was just logged.
    """

    def __init__(self, loop: Any, refusals: Refusals) -> None:
        self._loop = loop
        self._refusals = refusals
        self._guard = self._call_guarded  # one object for all watchers
        self.io: Callable[..., Any] = loop.io
        self.timer: Callable[[float], Any] = loop.timer
        self._poller: Any = None  # epoll's set, from the first descriptor to forget on

    def start(
        self,
        watcher: Any,
        callback: Callable[..., object],
        owner: CallbackOwner,
        *args: Any,
    ) -> None:
        """Start a watcher (``Loop``)."""
        watcher.start(self._guard, _bind(callback, args) if args else callback, owner)

    def run_callback(
        self, callback: Callable[..., object], owner: CallbackOwner, *args: Any
    ) -> None:
        """Call back before the loop waits again (``Loop``)."""
        self._loop.run_callback(self._guard, _bind(callback, args) if args else callback, owner)

    def call(
        self, callback: Callable[[T], object], item: T, on_raised: Callable[[T], object]
    ) -> None:
        """Call a function now (``Loop``)."""
        try:
            callback(item)
        except BaseException as error:
            self._end(on_raised, item, error)
            if not isinstance(error, Exception):
                raise

    def forget(self, descriptors: Iterable[int]) -> None:
        """Take descriptors out of epoll's set (``SharingLoop``).

        libev leaves that to the kernel, which does it when the last descriptor of a connection is
        closed. As another process has one, the loop would be woken by all that comes on it.
        """
        if self._poller is None:
            number = self._loop.fileno()
            if number is None:  # the loop uses another mechanism
                return
            self._poller = monkey.get_original("select", "epoll").fromfd(os.dup(number))
        for fd in descriptors:
            try:  # noqa: SIM105  # suppress() takes longer than the call
                self._poller.unregister(fd)
            except OSError:  # the loop did not watch it
                pass

    def _call_guarded(self, callback: Callable[[Any], object], owner: CallbackOwner) -> None:
        try:
            callback(owner)
        except BaseException as error:
            self._end(type(owner).callback_raised, owner, error)
            if not isinstance(error, Exception):  # the process is to end
                raise

    def _end(self, on_raised: Callable[[T], object], owner: T, error: BaseException) -> None:
        """End what a callback belongs to, then log why."""
        try:
            on_raised(owner)
        except Exception:
            logger.exception("Internal error while ending a client after an internal error")
        if not isinstance(error, Exception):  # the process is to end
            return
        more = self._refusals.throttle(("callback", type(error), place_of(error)), None)
        if more is not None:
            logger.error(
                "Internal error in a callback of the event loop; "
                "its client, if it has one, is disconnected%s",
                more,
                exc_info=error,
            )


def _bind(callback: Callable[..., object], args: tuple[Any, ...]) -> Callable[[Any], object]:
    """Return a callback that needs no other argument than its owner, as nearly all of them."""
    return lambda owner: callback(owner, *args)
