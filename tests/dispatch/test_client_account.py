"""What all clients make the server hold of their packets."""

import pytest

from socketio_server.dispatch.client_account import InputTotal
from socketio_server.net.held_total import HeldTotal
from socketio_server.net.refusals import RefusalKind
from socketio_server.options import Options
from tests.fakes.loop import FakeLoop

OPTIONS = Options(max_queued_total=10_000, max_pending_total=6000, max_decoded_total=1)


class Client:
    """A client that lets go of everything when it is given up, or soon after."""

    def __init__(self, total: InputTotal, *, keeps: int = 0) -> None:
        self._total = total
        self._keeps = keeps
        self.counted = 0
        self.refusals: list[str] = []

    def hold(self, size: int) -> None:
        self.counted += size
        self._total.count(self, size)

    def give_up(self, kind: RefusalKind, why: str) -> None:
        self.refusals.append(f"{kind}: {why}")
        self.hold(self._keeps - self.counted)

    def callback_raised(self) -> None:
        raise AssertionError("it was given up without a fault")

    def finish(self) -> None:
        """Let go of the rest: the last handlers have run."""
        self.hold(-self.counted)


class TestTooMuch:
    @pytest.mark.parametrize(
        ("others", "size", "kind", "setting"),
        [
            (0, 6001, "pending", "SOCKETIO_MAX_PENDING_TOTAL"),
            (9000, 2000, "held total", "the largest of SOCKETIO_MAX_QUEUED_TOTAL, "),
        ],
        ids=["of its kind", "of all kinds"],
    )
    def test_is_told_with_the_setting_that_bounds_it(
        self, others: int, size: int, kind: str, setting: str
    ) -> None:
        loop = FakeLoop()
        held = HeldTotal(loop, OPTIONS)
        client = Client(InputTotal(loop, OPTIONS, held))
        held.count(others)
        client.hold(size)
        loop.run()
        (refusal,) = client.refusals
        assert refusal.startswith(f"{kind}: ")
        assert setting in refusal

    def test_is_not_told_to_those_who_could_not_help_it(self) -> None:
        """What a client that was given up keeps for its last handlers, it will let go of."""
        loop = FakeLoop()
        total = InputTotal(loop, OPTIONS, HeldTotal(loop, OPTIONS))
        keepers = [Client(total, keeps=2000) for _ in range(3)]
        others = [Client(total) for _ in range(3)]
        for other in others:
            other.hold(100)
        for keeper, size in zip(keepers, (2100, 2000, 2000), strict=True):
            keeper.hold(size)
        assert [bool(client.refusals) for client in keepers] == [True, False, False]
        for other in others:
            other.hold(100)
            assert not other.refusals
        assert total.bytes == 6600

        keepers[0].finish()
        assert total.bytes == 4600
        keepers[0].hold(3000)  # it was forgotten, and counts as any other
        assert len(keepers[0].refusals) == 2
