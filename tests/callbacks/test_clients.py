"""Callbacks that serve one client."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from traceback import walk_tb

import pytest

from socketio_server.net.loop import GuardedLoop
from socketio_server.protocol.close_reasons import CloseReason
from tests.callbacks.cases import CASES, Case
from tests.callbacks.world import LONG, Faults, World


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.play.__name__)
class TestACallbackThatRaises:
    def test_ends_its_client_and_nothing_else(
        self, case: Case, stack: ExitStack, faults: Faults, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = World(stack, **case.options)
        world.bystander = world.polling()
        bystander = world.sessions[0]
        case.play(world, faults)
        assert faults.raised == 1

        assert [entry_of(record) for record in caplog.records if record.exc_info] == [case.entry]
        assert not any(client.has_descriptor for client in world.clients)
        if case.ends_session:
            assert len(world.engine) == 1
            assert all(len(handler.closed) == 1 for handler in world.handlers[1:])
        assert world.post(world.bystander, "4hello").endswith(b"ok")
        assert world.handlers[0].messages == ["hello"]

        for session in world.sessions:
            session.close(CloseReason.TRANSPORT_CLOSE)
        bystander.close(CloseReason.TRANSPORT_CLOSE)
        world.advance(10 * LONG)
        assert not world.loop.watchers
        assert (len(world.engine), world.engine.output.total) == (0, 0)
        assert world.engine.admission.total == 0
        assert world.engine.is_drained


def entry_of(record: logging.LogRecord) -> str:
    """Return the function that the guard called."""
    assert record.exc_info
    frames = [frame for frame, _ in walk_tb(record.exc_info[2])]
    called = next(
        frame for frame in frames if frame.f_globals["__name__"] != GuardedLoop.__module__
    )
    return called.f_code.co_qualname
