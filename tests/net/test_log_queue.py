"""The queue of log lines, in the hub of the test's own thread."""

import gc
import logging
import os
import warnings
import weakref
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event

from socketio_server.net import log_queue
from socketio_server.net.log_queue import MAX_LINES, LogQueue
from tests.fakes.hub import PATIENCE, in_loop, settle

logger = logging.getLogger("tests.queued")


class Lines(logging.Handler):
    """Keeps lines; waits or raises before each, if it is to."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.tracebacks: list[str] = []
        self.error: BaseException | None = None
        self.may_go_on = Event()
        self.may_go_on.set()

    def emit(self, record: logging.LogRecord) -> None:
        self.may_go_on.wait()
        if self.error is not None:
            raise self.error
        self.lines.append(record.getMessage())
        self.tracebacks.append(logging.Formatter().format(record).partition("\n")[2])


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """The handler of the log."""
    handler = Lines()
    monkeypatch.setattr(log_queue, "logger", logger)
    logger.addHandler(handler)
    logger.propagate = False
    yield handler
    handler.may_go_on.set()
    settle()
    logger.removeHandler(handler)
    logger.propagate = True


@pytest.fixture
def queue(handler: Lines) -> Iterator[LogQueue]:
    """The queue of that log."""
    queue = LogQueue([logger.name])
    queue.open()
    yield queue
    queue.close(PATIENCE)


class TestLogQueue:
    def test_lines_of_callbacks_and_greenlets_are_logged_in_order(
        self, queue: LogQueue, handler: Lines
    ) -> None:
        logger.warning("one")
        in_loop(lambda: logger.warning("two"))
        logger.warning("three")
        settle()
        assert handler.lines == ["one", "two", "three"]

    def test_a_handler_that_waits_delays_only_the_lines(
        self, queue: LogQueue, handler: Lines
    ) -> None:
        handler.may_go_on.clear()
        done: list[bool] = []

        def callback() -> None:
            logger.warning("one")
            done.append(True)

        in_loop(callback)
        in_loop(callback)
        assert done == [True, True]
        assert handler.lines == []
        handler.may_go_on.set()
        settle()
        assert handler.lines == ["one", "one"]

    @pytest.mark.parametrize("error", [RuntimeError("on purpose"), gevent.Timeout(1)])
    def test_a_handler_that_raises_ends_no_more_than_the_line(
        self,
        queue: LogQueue,
        handler: Lines,
        error: BaseException,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        handler.error = error
        in_loop(lambda: logger.warning("one"))
        handler.error = None
        in_loop(lambda: logger.warning("two"))
        assert handler.lines == ["two"]
        assert "Logging error" in capsys.readouterr().err

    def test_lines_beyond_the_most_are_dropped_and_the_log_tells_how_many(
        self, queue: LogQueue, handler: Lines
    ) -> None:
        handler.may_go_on.clear()
        for number in range(MAX_LINES + 3):
            logger.warning("%s", number)
        assert queue.dropped == 3
        handler.may_go_on.set()
        settle()
        assert len(handler.lines) == MAX_LINES + 1
        assert handler.lines[-1].startswith("3 log lines were dropped")
        logger.warning("the next")
        settle()
        assert handler.lines[-1] == "the next"

    def test_many_lines_that_wait_keep_nothing_of_what_raised(
        self, queue: LogQueue, handler: Lines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An exception keeps the packet that its handler worked on."""
        monkeypatch.setattr(log_queue, "MAX_TRACEBACKS", 2)
        handler.may_go_on.clear()
        kept: list[weakref.ref[Exception]] = []

        class Raised(Exception):
            pass

        for number in range(4):
            try:
                raise Raised(number)
            except Raised as error:
                kept.append(weakref.ref(error))
                logger.exception("line %s", number)
        gc.collect()
        assert [each() is None for each in kept] == [False, False, True, True]

        handler.may_go_on.set()
        settle()
        assert handler.lines == [f"line {number}" for number in range(4)]
        assert all("Raised" in traceback for traceback in handler.tracebacks)

    def test_a_forked_process_logs_its_lines_at_once_and_none_of_its_parents(
        self, queue: LogQueue, handler: Lines
    ) -> None:
        logger.warning("the parent's")
        read, write = os.pipe()
        with os.fdopen(read) as lines, os.fdopen(write, "w") as out, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside other threads
            child = os.fork()
            if not child:
                logger.warning("the child's")
                out.write(",".join(handler.lines))
                out.flush()
                os._exit(0)
            out.close()
            os.waitpid(child, 0)
            assert lines.read() == "the child's"
        settle()
        assert handler.lines == ["the parent's"]

    def test_its_close_writes_what_waits(self, handler: Lines) -> None:
        queue = LogQueue([logger.name])
        queue.open()
        logger.warning("one")
        queue.close(PATIENCE)
        assert handler.lines == ["one"]
        logger.warning("two")
        assert handler.lines == ["one", "two"]

    def test_its_close_waits_no_longer_than_it_may_for_a_handler_that_waits(
        self, handler: Lines
    ) -> None:
        handler.may_go_on.clear()
        queue = LogQueue([logger.name])
        queue.open()
        logger.warning("one")
        with gevent.Timeout(PATIENCE):
            queue.close(0.01)
        assert logger.filters == []
