"""Tells the developer which code blocks the event loop.

All greenlets share one thread: while a handler or a view computes, or waits in a library that
gevent can't patch, nobody else is served. Only while ``DEBUG`` is on: without it, a server has no
such object.

gevent's own monitor (``GEVENT_MONITOR_THREAD``) traces each switch between greenlets, repeats its
report every period, and writes into the session of a debugger. Here a timer of the loop tells the
time that a thread looks at.
"""

import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from traceback import StackSummary
from types import FrameType
from typing import Any

from gevent import monkey

import socketio_server
from socketio_server.net.loop import Loop

LIMIT = 1.0
"""Seconds for which code may keep the loop before it is reported."""

INTERVAL = 0.1
"""Seconds between two looks at the loop."""

_DEBUGGERS = {"bdb", "pdb", "pydevd", "_pydevd_bundle"}
"""Top-level modules in the stack of a program that waits for its developer."""

_FOREIGN = (
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    str(Path(socketio_server.__file__).parent),
)
"""Folders of code that is not the project's."""


class BlockWatch:
    """Reports code that keeps the loop for more than ``LIMIT`` seconds, each function once.

    Must be made in the thread of the loop. The report does not go to a logger, because the thread
    that is blocked may hold the lock of a log handler.

    :param tell: called with the report, in a thread of its own.
    """

    def __init__(self, loop: Loop, tell: Callable[[str], Any]) -> None:
        self._tell = tell
        self._thread: int = monkey.get_original("_thread", "get_ident")()
        self._loop = loop
        self._timer = loop.timer(INTERVAL)
        self._seen = monotonic()  # when the loop ran last
        self._is_running = False
        self._told: set[tuple[str, str]] = set()

    def start(self) -> None:
        """Begin to watch, in a real thread."""
        self._is_running = True
        self._see()
        monkey.get_original("_thread", "start_new_thread")(self._watch, ())

    def stop(self) -> None:
        """End the thread soon."""
        self._is_running = False
        self._timer.close()

    def callback_raised(self) -> None:
        """End: a callback of this watch raised (``CallbackOwner``)."""
        self.stop()

    def _see(self) -> None:
        self._seen = monotonic()
        self._timer.close()
        self._timer = self._loop.timer(INTERVAL)  # one that has gone off would go off at once
        self._loop.start(self._timer, BlockWatch._see, self)

    def _watch(self) -> None:
        """Look at the loop again and again; report a block once."""
        sleep = monkey.get_original("time", "sleep")
        reported = 0.0
        while self._is_running:
            sleep(INTERVAL)
            seen = self._seen
            if seen != reported and monotonic() - seen > LIMIT + INTERVAL:
                reported = seen
                self.report(sys._current_frames()[self._thread])

    def report(self, frame: FrameType) -> None:
        """Report the code that blocks the loop, unless it was reported or a debugger waits.

        :param frame: the innermost frame of the loop's thread.
        """
        stack = list(_walk(frame))
        modules = [_module_of(each).partition(".")[0] for each in stack]
        if modules[0] == "gevent" or not _DEBUGGERS.isdisjoint(modules):
            return  # the loop itself waits, or it will run next
        own = [i for i, each in enumerate(stack) if _is_of_project(each)] or [0]
        culprit = stack[own[0]]
        code = culprit.f_code
        name = code.co_qualname
        if (code.co_filename, name) in self._told:
            return
        self._told.add((code.co_filename, name))
        shown = [(each, each.f_lineno) for each in reversed(stack[: own[-1] + 1])]
        self._tell(
            f"`{name}` ({code.co_filename}:{culprit.f_lineno}) blocks the event loop: for more "
            f"than {LIMIT:g} s nobody else was served. Compute in another process, or call "
            "gevent.sleep(0) now and then; call a library that waits in C by "
            "gevent.get_hub().threadpool.apply (said once)\n"
            + "".join(StackSummary.extract(iter(shown)).format())
        )


def _walk(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and those that called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_of_project(frame: FrameType) -> bool:
    """Return whether a frame runs the project's code; ``manage.py`` is below all other."""
    file = frame.f_code.co_filename
    return _module_of(frame) != "__main__" and not file.startswith(("<", *_FOREIGN))
