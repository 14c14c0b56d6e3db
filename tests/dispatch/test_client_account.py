"""What all clients make the server hold of their packets."""

import pytest

from socketio_server.dispatch.client_account import InputTotal
from socketio_server.net.held_total import HeldTotal
from socketio_server.net.refusals import RefusalKind
from socketio_server.options import Options
from tests.fakes.loop import FakeLoop

OPTIONS = Options(max_queued_total=10_000, max_pending_total=6000, max_decoded_total=1)


class Client:
    """A client that lets go of everything when it is given up."""

    def __init__(self, total: InputTotal) -> None:
        self._total = total
        self.counted = 0
        self.refusals: list[str] = []

    def hold(self, size: int) -> None:
        self.counted += size
        self._total.count(self, size)

    def give_up(self, kind: RefusalKind, why: str) -> None:
        self.refusals.append(f"{kind}: {why}")
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
        client = Client(InputTotal(OPTIONS, held))
        held.count(others)
        client.hold(size)
        loop.run()
        (refusal,) = client.refusals
        assert refusal.startswith(f"{kind}: ")
        assert setting in refusal
