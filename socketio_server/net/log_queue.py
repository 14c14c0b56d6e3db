"""Hands the server's log lines to one greenlet, because the handlers of a log may wait or raise.

A loop callback must not wait, and neither may a broadcast while it goes through its recipients.
A callback that logged would raise there, and a broadcast would be interrupted. The standard
library's ``QueueHandler`` and ``QueueListener`` would have to replace the project's own handlers,
and a listener can't be stopped while a handler waits.
"""

import logging
import os
from collections import deque
from collections.abc import Sequence

import gevent
from gevent import Greenlet
from gevent.event import Event
from greenlet import getcurrent

MAX_LINES = 1000
"""Lines that may wait; more are dropped, and counted."""

MAX_TRACEBACKS = 10
"""Lines that may wait with their exceptions, which keep what the handlers that raised them worked
on; those of more are written out."""

logger = logging.getLogger("socketio_server")

_ERRORS = logging.NullHandler()  # tells of an error in a handler, as all handlers do
_FORMATTER = logging.Formatter()


class LogQueue(logging.Filter):
    """The first filter of some loggers: keeps their lines, and has its greenlet log them.

    :param names: the loggers.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.dropped = 0
        """Lines that were not logged, because too many waited."""
        self._loggers = [logging.getLogger(name) for name in names]
        self._lines: deque[logging.LogRecord] = deque()
        self._arrived = Event()
        self._is_empty = Event()  # and no line is being logged
        self._is_empty.set()
        self._writer: Greenlet[..., None] | None = None  # None while it is not open
        self._process = 0

    def open(self) -> None:
        """Begin to keep lines."""
        self._process = os.getpid()
        self._writer = gevent.spawn(self._write)
        for each in self._loggers:
            each.filters.insert(0, self)

    def close(self, timeout: float) -> None:
        """Log what waits, for so many seconds at most, and keep no more lines."""
        self._is_empty.wait(timeout)
        for each in self._loggers:
            each.removeFilter(self)
        if self._writer is not None:
            # A handler that waits holds a lock, for which the interpreter's end would wait.
            self._writer.kill(timeout=timeout)
            self._writer = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a line at once: in the queue's own greenlet, and in processes that
        were forked; keep it otherwise.
        """
        if getcurrent() is self._writer or os.getpid() != self._process:
            return True
        if len(self._lines) < MAX_LINES:
            if record.exc_info and len(self._lines) >= MAX_TRACEBACKS:
                record.exc_text = _FORMATTER.formatException(record.exc_info)
                record.exc_info = None
            self._lines.append(record)
            self._is_empty.clear()
            self._arrived.set()
        else:
            self.dropped += 1
        return False

    def _write(self) -> None:
        told = 0
        while True:
            self._arrived.wait()
            self._arrived.clear()
            for _ in range(len(self._lines)):  # then other greenlets go on
                _log(self._lines.popleft())
            if told != self.dropped:
                dropped, told = self.dropped - told, self.dropped
                text = "%s log lines were dropped: the handlers of the log are too slow"
                args = (dropped,)
                _log(logger.makeRecord(logger.name, logging.WARNING, "", 0, text, args, None))
            if not self._lines:
                self._is_empty.set()


def _log(record: logging.LogRecord) -> None:
    """Log a line; an error of a handler ends no more than that."""
    try:
        logging.getLogger(record.name).handle(record)
    except (Exception, gevent.Timeout):  # noqa: BLE001  # of the project's handlers
        _ERRORS.handleError(record)
