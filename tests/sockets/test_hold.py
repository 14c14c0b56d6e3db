"""Messages that are held until a handler has accepted or refused their client."""

import pytest

from socketio_server.net.queued_output import LostBecause
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.hold import Hold
from tests.fakes.engine import make_session, outgoing
from tests.fakes.loop import FakeLoop
from tests.fakes.net import queued_output

HELLO = outgoing("hello")


def hold(channel: str | None = None, *, limit: int = 1000) -> Hold:
    """What a handler of a new connection holds, or one of a subscription."""
    session, _ = make_session()
    return Hold(channel, session, limit, None)


class TestKeeping:
    @pytest.mark.parametrize("doubtful", [True, False])
    def test_of_a_new_connection_all_are_kept(self, doubtful: bool) -> None:
        assert hold().keep(HELLO, doubtful=doubtful)

    def test_of_a_subscription_those_of_the_channel_are_kept(self) -> None:
        assert hold("room").keep(HELLO, doubtful=True)

    def test_of_a_subscription_others_go_out_until_one_is_kept(self) -> None:
        """After that they are kept too, because they must not overtake it."""
        held = hold("room")
        assert not held.keep(HELLO, doubtful=False)
        held.keep(HELLO, doubtful=True)
        assert held.keep(HELLO, doubtful=False)

    def test_more_than_the_limit_overflows(self) -> None:
        held = hold(limit=2 * len(HELLO.frames))
        held.keep(HELLO, doubtful=True)
        held.keep(HELLO, doubtful=True)
        assert not held.overflows
        held.keep(HELLO, doubtful=True)
        assert held.overflows


class TestReleasing:
    @pytest.mark.parametrize(("accepted", "expected"), [(True, ["a", "b"]), (False, ["b"])])
    def test_gives_the_doubtful_ones_only_to_an_accepted_client(
        self, accepted: bool, expected: list[str]
    ) -> None:
        held = hold()
        held.keep(outgoing("a"), doubtful=True)
        held.keep(outgoing("b"), doubtful=False)
        released = held.release(accepted=accepted)
        assert [each.packets for each in released] == [[f"4{one}".encode()] for one in expected]

    def test_gives_back_what_was_counted(self) -> None:
        output = queued_output(FakeLoop())
        held = Hold(None, make_session()[0], 1000, output)
        held.keep(HELLO, doubtful=True)
        assert output.total > len(HELLO.frames)
        held.release(accepted=True)
        assert output.total == 0


class TestGivingUp:
    def test_drops_the_messages_and_closes_the_session(self) -> None:
        session, transport = make_session()
        output = queued_output(FakeLoop())
        held = Hold(None, session, 1000, output)
        held.keep(HELLO, doubtful=True)
        held.give_up(LostBecause.CROWDED)
        assert transport.closed == [CloseReason.TRANSPORT_ERROR]
        assert output.total == 0
        assert held.release(accepted=True) == []
