"""How many connections and handshakes there may be, by a clock that is moved by hand (security,
rule 12)."""

from dataclasses import dataclass, field

import pytest

from socketio_server.engine import admission
from socketio_server.engine.admission import CROWDED, FULL, HANDSHAKES_PER_SECOND, Admission
from socketio_server.net.refusals import RefusalKind

ALICE, BOB, PROXY = "192.0.2.1", "2001:db8::1", "192.0.2.80"
PROXIES = [PROXY, "198.51.100.0/24", "2001:DB8:1::/48", "fe80::80%eth0", "::ffff:192.0.2.81"]
LOOPBACK = ["127.0.0.1", "127.1.2.3", "::1", "::1%lo", "::ffff:127.0.0.1"]
NOT_COUNTED = [
    *LOOPBACK,
    "",  # a Unix socket's peer has no address
    *(PROXY, f"::ffff:{PROXY}", "198.51.100.7", "::ffff:198.51.100.255"),
    *("2001:db8:1:2::3", "fe80::80%eth0", "::ffff:192.0.2.81"),
]
# A project's middleware may copy what the client says of itself.
NO_ADDRESSES = ["nonsense", "192.0.2.1, 192.0.2.2", "%", "fe80::1%" + "x" * 1000]


@dataclass
class Door:
    """An admission, and its clock."""

    now: float = field(default=100.0)

    def __post_init__(self) -> None:
        self.admission = Admission(
            max_connections=5,
            max_per_address=2,
            max_burst=3,
            trusted=PROXIES,
            clock=lambda: self.now,
        )

    def enter(self, address: str, times: int = 1) -> list[tuple[RefusalKind, str] | None]:
        """Open connections; return what was said of each."""
        return [self.admission.enter(address) for _ in range(times)]

    def handshakes(self, address: str, times: int = 1) -> list[bool]:
        """Shake hands; return which were allowed."""
        return [self.admission.may_shake_hands(address) for _ in range(times)]


@pytest.fixture
def door() -> Door:
    return Door()


class TestConnectionsInAll:
    def test_are_counted(self, door: Door) -> None:
        door.enter(ALICE, 2)
        door.enter("127.0.0.1")
        assert door.admission.total == 3
        door.admission.leave(ALICE)
        assert door.admission.total == 2

    @pytest.mark.parametrize("address", NOT_COUNTED)
    def test_are_limited_whoever_they_are(self, door: Door, address: str) -> None:
        assert door.enter(address, 6) == [None] * 5 + [FULL]
        assert door.admission.total == 5

    def test_leave_room_for_others_when_they_go(self, door: Door) -> None:
        door.enter("127.0.0.1", 5)
        assert door.enter(BOB) == [FULL]
        door.admission.leave("127.0.0.1")
        assert door.enter(BOB) == [None]
        assert door.enter(BOB) == [FULL]


class TestConnectionsOfOneAddress:
    @pytest.mark.parametrize("address", [ALICE, BOB, "fe80::1%eth0", "198.51.101.1", *NO_ADDRESSES])
    def test_are_limited(self, door: Door, address: str) -> None:
        assert door.enter(address, 3) == [None, None, CROWDED]
        assert door.admission.total == 2

    def test_leave_other_addresses_alone(self, door: Door) -> None:
        door.enter(ALICE, 3)
        assert door.enter(BOB, 2) == [None, None]

    def test_are_counted_by_network_in_ipv6(self, door: Door) -> None:
        """Whoever has an address there has 2^64 of them."""
        neighbour, stranger = "2001:db8::ffff:1:2:3", "2001:db8:0:1::1"
        assert door.enter(BOB) == [None]
        assert door.enter(neighbour, 2) == [None, CROWDED]
        assert door.enter(stranger) == [None]
        door.admission.leave(BOB)
        assert door.enter(neighbour) == [None]

    def test_of_ipv4_are_the_same_on_a_socket_of_ipv6(self, door: Door) -> None:
        assert door.enter(f"::ffff:{ALICE}", 2) == [None, None]
        assert door.enter(ALICE) == [CROWDED]
        assert door.enter("::ffff:192.0.2.2") == [None]

    def test_leave_room_for_further_ones_when_they_go(self, door: Door) -> None:
        door.enter(ALICE, 3)
        door.admission.leave(ALICE)
        assert door.enter(ALICE, 2) == [None, CROWDED]

    def test_are_forgotten_when_all_have_gone(self, door: Door) -> None:
        for _ in range(3):
            door.enter(ALICE, 2)
            door.admission.leave(ALICE)
            door.admission.leave(ALICE)
            assert door.admission.total == 0

    @pytest.mark.parametrize("address", NOT_COUNTED)
    def test_of_proxies_and_this_machine_are_not_limited(self, door: Door, address: str) -> None:
        assert door.enter(address, 5) == [None] * 5


class TestSessionsOfOneAddress:
    MOST = 4
    """Twice as many as connections."""

    @pytest.mark.parametrize("address", [ALICE, BOB, *NO_ADDRESSES])
    def test_are_limited(self, door: Door, address: str) -> None:
        for _ in range(self.MOST):
            assert door.admission.may_open_session(address)
            door.admission.session_opened(address)
        assert not door.admission.may_open_session(address)
        assert door.admission.may_open_session("198.51.100.77")

        door.admission.session_ended(address)
        assert door.admission.may_open_session(address)

    @pytest.mark.parametrize("address", NOT_COUNTED)
    def test_of_proxies_and_this_machine_are_not_limited(self, door: Door, address: str) -> None:
        for _ in range(3 * self.MOST):
            door.admission.session_opened(address)
        assert door.admission.may_open_session(address)
        door.admission.session_ended(address)


class TestHandshakesOfOneAddress:
    def test_may_come_in_a_burst(self, door: Door) -> None:
        assert door.handshakes(ALICE, 5) == [True, True, True, False, False]

    def test_leave_other_addresses_alone(self, door: Door) -> None:
        door.handshakes(ALICE, 5)
        assert door.handshakes(BOB, 3) == [True, True, True]

    def test_may_come_one_by_one_after_it(self, door: Door) -> None:
        door.handshakes(ALICE, 5)
        for _ in range(10):
            door.now += 1.01 / HANDSHAKES_PER_SECOND
            assert door.handshakes(ALICE, 2) == [True, False]

    def test_may_come_in_a_burst_again_after_a_while(self, door: Door) -> None:
        door.handshakes(ALICE, 5)
        door.now += 1000.0
        assert door.handshakes(ALICE, 4) == [True, True, True, False]

    def test_go_on_at_that_rate_however_many_more_are_tried(self, door: Door) -> None:
        door.handshakes(ALICE, 5)
        allowed = 0
        for _ in range(100):  # four for each that may
            door.now += 0.25 / HANDSHAKES_PER_SECOND
            allowed += sum(door.handshakes(ALICE))
        assert allowed in (24, 25)

    @pytest.mark.parametrize("address", NOT_COUNTED)
    def test_of_proxies_and_this_machine_are_not_limited(self, door: Door, address: str) -> None:
        assert door.handshakes(address, 20) == [True] * 20

    @pytest.mark.parametrize("text", NO_ADDRESSES)
    def test_are_limited_for_a_text_that_is_no_address(self, door: Door, text: str) -> None:
        assert door.handshakes(text, 4) == [True, True, True, False]

    def test_are_counted_one_by_one_for_addresses_up_to_64_characters(self, door: Door) -> None:
        """An address of IPv6 may have the name of an interface."""
        first, second = (f"fe80::{number}%".ljust(64, "x") for number in (1, 2))
        assert door.handshakes(first, 4) == [True, True, True, False]
        assert door.handshakes(f"{second}x") == [True]
        assert door.handshakes("nonsense", 3) == [True, True, False]

    def test_are_counted_together_for_all_texts_that_are_no_address(self, door: Door) -> None:
        allowed = [each for text in NO_ADDRESSES for each in door.handshakes(text)]
        assert allowed == [True, True, True, False]
        assert door.handshakes(ALICE) == [True]

    def test_are_remembered_of_so_many_addresses_only(
        self, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those that shook hands least recently are forgotten."""
        monkeypatch.setattr(admission, "MAX_ADDRESSES", 3)
        for address in (ALICE, BOB, "192.0.2.2"):
            door.handshakes(address, 3)
        assert door.handshakes(ALICE) == [False]
        assert door.handshakes("192.0.2.3") == [True]
        assert door.handshakes(ALICE) == [False]
        assert door.handshakes("192.0.2.2") == [False]
        assert door.handshakes(BOB) == [True]

    def test_are_counted_by_network_in_ipv6(self, door: Door) -> None:
        assert door.handshakes(BOB, 3) == [True, True, True]
        assert door.handshakes("2001:db8::2") == [False]
        assert door.handshakes("2001:db8:0:1::1") == [True]
