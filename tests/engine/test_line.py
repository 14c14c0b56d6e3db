"""What waits for room in a client's queue is counted, and may end the client."""

import pytest

from socketio_server.engine.session import Session
from socketio_server.net.queued_output import ENTRY_COST, MESSAGE_COST, QueuedOutput
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from tests.fakes.engine import RecordingKeeper, RecordingTransport, make_session
from tests.fakes.loop import FakeLoop
from tests.fakes.net import queued_output

COST = MESSAGE_COST + ENTRY_COST
"""What a message is counted with besides its bytes."""


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def output(loop: FakeLoop) -> QueuedOutput:
    return queued_output(loop, Options(max_queued_total=10_000))


def full(output: QueuedOutput) -> tuple[Session, RecordingTransport]:
    """Return a session for which senders have to wait."""
    session, transport = make_session(keeper=RecordingKeeper(output))
    transport.is_full = True
    return session, transport


class TestMessagesThatWaitForRoom:
    def test_are_counted_as_if_they_were_queued(self, output: QueuedOutput) -> None:
        session, _ = full(output)
        first, second = session.join_line(b"x" * 1000), session.join_line(b"y" * 2000)
        assert output.total == 3000 + 2 * COST

        session.leave_line(first)
        assert output.total == 2000 + COST
        session.leave_line(second)
        assert output.total == 0

    def test_are_counted_until_the_session_ends(self, output: QueuedOutput) -> None:
        session, _ = full(output)
        place = session.join_line(b"x" * 1000)
        session.close(CloseReason.FORCED_CLOSE)
        assert output.total == 0

        session.leave_line(place)
        assert output.total == 0

    def test_end_the_client_whose_senders_hold_most(self, output: QueuedOutput) -> None:
        (modest, kept), (greedy, closed) = full(output), full(output)
        modest.join_line(bytes(bytearray(3000)))
        places = [greedy.join_line(bytes(bytearray(2000))) for _ in range(3)]

        assert [kept.closed, closed.closed] == [[], [CloseReason.TRANSPORT_ERROR]]
        assert all(place.is_set() for place in places)
        assert output.total == 3000 + COST

    def test_are_not_counted_once_their_client_is_given_up(self, output: QueuedOutput) -> None:
        """The loss of a connection is reported in a later turn of the loop."""
        session, transport = full(output)
        transport.give_up = lambda because: None  # type: ignore[method-assign]
        places = [session.join_line(bytes(bytearray(6000))) for _ in range(2)]
        assert output.total == 0

        places.append(session.join_line(b"one more"))
        assert output.total == 0
        for place in places:
            session.leave_line(place)
        assert output.total == 0

    def test_are_no_stall_of_the_client(self, loop: FakeLoop, output: QueuedOutput) -> None:
        """Its progress is watched where its messages are queued."""
        session, transport = full(output)
        session.join_line(b"x" * 1000)
        loop.advance(1000.0)

        assert transport.closed == []
