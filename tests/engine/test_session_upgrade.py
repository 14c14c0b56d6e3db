"""The upgrade of a session, state by state: from polling to a WebSocket.

The transports are real ones: a polling transport whose queue tests look into, and WebSockets on
socket pairs.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.engine.session import Session
from socketio_server.engine.transports.websocket import UpgradedConnection, WebSocketTransport
from socketio_server.net.queued_output import LostBecause
from socketio_server.net.turns import Turns
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import Packet, PacketType
from socketio_server.protocol.websocket.frames import Close, Opcode
from tests.fakes.engine import (
    HERE,
    FakeExchange,
    RecordingKeeper,
    RecordingSessionHandler,
    make_polling,
    make_session,
    outgoing,
    packets,
)
from tests.fakes.loop import FakeLoop
from tests.fakes.websocket import WebSocketPeer, closings, websocket
from tests.support.websocket import frame


class Upgrade:
    """A session over polling, and the WebSockets that try to take it over."""

    def __init__(self, options: Options | None = None) -> None:
        self.loop = FakeLoop()
        self.options = options or Options()
        self.keeper = RecordingKeeper()
        self.handler = RecordingSessionHandler()
        self.session = Session("the-secret", self.keeper, HERE)
        self.polling = make_polling(self.session, self.loop, self.options)
        self.session.start(self.polling, self.handler, b"0{}")
        assert self.poll() == ["0{}"]
        self._stack = ExitStack()

    def probe(self) -> WebSocketPeer:
        """Open a WebSocket that may take over; return its client."""
        connection, client = self._stack.enter_context(websocket(self.loop, self.options))
        upgraded = UpgradedConnection(connection)
        transport = WebSocketTransport(
            upgraded,
            self.session,
            self.loop,
            self.options,
            self.loop.clock,
            closings(self.loop, self.options),
            Turns(self.loop, self.options, clock=self.loop.clock),
        )
        self.session.start_probe(transport)
        transport.start()
        return client

    def upgrade(self) -> WebSocketPeer:
        """Do all of it; return the client, with nothing unread."""
        client = self.probe()
        client.send("2probe")
        self.loop.run()
        client.send("5")
        self.loop.run()
        assert client.received() == ["3probe"]
        return client

    def poll(self) -> list[str]:
        """Take what a GET would be given."""
        return list(packets(self.polling.answer_at_once().body))

    def start_post(self, body: bytes) -> FakeExchange:
        """Begin a POST, which may have to wait."""
        post = FakeExchange()
        self.polling.answer_post(body, "text/plain;charset=UTF-8", post)
        return post

    def post(self, body: bytes) -> None:
        """Send a POST, which must not have to wait."""
        assert self.start_post(body).status == 200

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def upgrade() -> Iterator[Upgrade]:
    made = Upgrade()
    yield made
    made.close()


def _silence(client: WebSocketPeer) -> None:
    pass


def _send(*messages: str | bytes) -> Callable[[WebSocketPeer], None]:
    return lambda client: client.send(*messages)


def _close(client: WebSocketPeer) -> None:
    client.close()


def _vanish(client: WebSocketPeer) -> None:
    client.sock.close()


def _break_protocol(client: WebSocketPeer) -> None:
    client.send_bytes(b"\x81\x00")  # not masked


PROBE_ENDS = [
    pytest.param(_send("5"), id="upgrades without a probe"),
    pytest.param(_send("4message"), id="sends a message"),
    pytest.param(_send(b"\x01"), id="sends a binary message"),
    pytest.param(_send("2"), id="pings"),
    pytest.param(_send("2probe!"), id="probes with other data"),
    pytest.param(_send("3"), id="pongs"),
    pytest.param(_send("1"), id="sends a close packet"),
    pytest.param(_send("9"), id="sends no packet"),
    pytest.param(_send(""), id="sends an empty message"),
    pytest.param(_close, id="closes"),
    pytest.param(_vanish, id="vanishes"),
    pytest.param(_break_protocol, id="breaks the protocol"),
]
"""What a WebSocket may do instead of sending its probe."""


UPGRADE_ENDS = [
    pytest.param(_send("2probe"), id="probes again"),
    *(case for case in PROBE_ENDS if case.id != "upgrades without a probe"),
]
"""What it may do instead of upgrading, once its probe was answered."""


class TestUpgrade:
    """Engine.IO protocol v4, "Upgrade"."""

    def test_a_websocket_probes_and_takes_over(self, upgrade: Upgrade) -> None:
        client = upgrade.probe()
        assert upgrade.keeper.probing
        client.send("2probe")
        upgrade.loop.run()
        assert client.received() == ["3probe"]
        assert upgrade.session.transport.name == "polling"

        client.send("5")
        upgrade.loop.run()
        assert upgrade.session.transport.name == "websocket"
        assert not upgrade.keeper.probing

        client.send("4hello")
        upgrade.loop.run()
        upgrade.session.send(outgoing("welcome"))
        assert upgrade.handler.messages == ["hello"]
        assert client.received() == ["4welcome"]

    def test_a_websocket_takes_nothing_over_from_a_client_that_was_given_up(
        self, upgrade: Upgrade
    ) -> None:
        """Its messages were dropped, and the session must not go on without them."""
        client = upgrade.probe()
        client.send("2probe")
        upgrade.loop.run()
        upgrade.loop.run_callback(upgrade.polling.give_up, LostBecause.LAGGED)
        client.send("5")
        upgrade.loop.run()

        assert upgrade.handler.closed == [CloseReason.TRANSPORT_ERROR]
        assert [type(message) for message in client.received()] == [str, Close]
        assert not upgrade.keeper.probing

    def test_a_client_may_probe_upgrade_and_send_in_one_go(self, upgrade: Upgrade) -> None:
        client = upgrade.probe()
        client.send("2probe", "5", "4hello")
        upgrade.loop.run()

        assert client.received() == ["3probe"]
        assert upgrade.handler.messages == ["hello"]

    def test_messages_go_over_polling_until_the_websocket_has_taken_over(
        self, upgrade: Upgrade
    ) -> None:
        client = upgrade.probe()
        upgrade.session.send(outgoing("one"))
        assert upgrade.poll() == ["4one"]

        client.send("2probe")
        upgrade.loop.run()
        upgrade.session.send(outgoing("two"))
        upgrade.session.ping()
        assert upgrade.poll() == ["2", "4two"]
        assert client.received() == ["3probe"]

    def test_what_polling_did_not_fetch_goes_over_the_websocket(self, upgrade: Upgrade) -> None:
        client = upgrade.probe()
        upgrade.session.send(outgoing("one"))
        client.send("2probe")
        upgrade.loop.run()
        upgrade.session.send(outgoing("51-[]", b"\x01"))
        client.send("5")
        upgrade.loop.run()
        upgrade.session.send(outgoing("three"))

        assert client.received() == ["3probe", "4one", "451-[]", b"\x01", "4three"]
        assert upgrade.poll() == ["6"]

    def test_what_the_client_posts_until_then_counts(self, upgrade: Upgrade) -> None:
        client = upgrade.probe()
        client.send("2probe")
        upgrade.loop.run()
        upgrade.post(b"4posted")
        client.send("5", "4sent")
        upgrade.loop.run()

        assert upgrade.handler.messages == ["posted", "sent"]

    def test_a_post_that_is_under_way_then_loses_nothing(self, upgrade: Upgrade) -> None:
        """It waits since the session takes no more just now; its packets still come first."""
        upgrade.session.pause_reading()
        post = upgrade.start_post(b"4one\x1e4two")
        client = upgrade.probe()
        client.send("2probe", "5", "4three")
        upgrade.loop.run()
        assert post.response is None
        upgrade.session.resume_reading()
        upgrade.loop.run()

        assert post.status == 200
        assert upgrade.handler.messages == ["one", "two", "three"]

    def test_a_paused_session_stays_paused(self, upgrade: Upgrade) -> None:
        upgrade.session.pause_reading()
        client = upgrade.probe()
        client.send("2probe", "5")
        upgrade.loop.run()
        client.send("4waits")
        upgrade.loop.run()
        assert upgrade.session.transport.name == "websocket"
        assert upgrade.handler.messages == []

        upgrade.session.resume_reading()
        upgrade.loop.run()
        assert upgrade.handler.messages == ["waits"]

    def test_who_waited_for_room_goes_on(self, upgrade: Upgrade) -> None:
        upgrade.session.send(outgoing("x" * 300_000))
        assert not upgrade.session.ask_for_room()
        place = upgrade.session.join_line(b"hello")
        client = upgrade.probe()
        client.send("2probe", "5")
        while not place.is_set():
            upgrade.loop.run()
            client.received()

        assert upgrade.session.transport.name == "websocket"
        assert upgrade.session.is_turn_of(place)

    def test_of_what_waited_not_all_is_deflated(self, upgrade: Upgrade) -> None:
        waiting = [outgoing("x" * 20_000), outgoing("y" * 20_000)]
        for each in waiting:
            upgrade.session.send(each)
        upgrade.probe().send("2probe", "5")
        upgrade.loop.run()

        assert [each.deflated_frames == each.frames for each in waiting] == [False, True]

    def test_the_session_ends_with_the_websocket_from_then_on(self, upgrade: Upgrade) -> None:
        client = upgrade.upgrade()
        client.close()
        upgrade.loop.run()

        assert upgrade.handler.closed == [CloseReason.TRANSPORT_CLOSE]
        assert [transport.name for transport in upgrade.keeper.ended] == ["websocket"]

    def test_polling_has_no_say_any_more(self, upgrade: Upgrade) -> None:
        client = upgrade.upgrade()
        upgrade.session.packet_received(upgrade.polling, Packet(PacketType.CLOSE))
        upgrade.session.transport_closed(upgrade.polling, CloseReason.TRANSPORT_ERROR)
        upgrade.session.send(outgoing("still here"))

        assert client.received() == ["4still here"]
        assert upgrade.handler.closed == []


class TestAProbeThatFails:
    """Closes only the new WebSocket; the session over polling never notices."""

    @pytest.mark.parametrize("act", PROBE_ENDS)
    def test_before_it_was_answered(
        self, upgrade: Upgrade, act: Callable[[WebSocketPeer], None]
    ) -> None:
        client = upgrade.probe()
        act(client)
        upgrade.loop.run()

        self.assert_intact(upgrade)

    @pytest.mark.parametrize("act", UPGRADE_ENDS)
    def test_after_it_was_answered(
        self, upgrade: Upgrade, act: Callable[[WebSocketPeer], None]
    ) -> None:
        client = upgrade.probe()
        client.send("2probe")
        upgrade.loop.run()
        assert client.received() == ["3probe"]
        act(client)
        upgrade.loop.run()

        self.assert_intact(upgrade)

    @pytest.mark.parametrize("said", [_silence, _send("2probe")], ids=["silent", "probed"])
    def test_by_taking_too_long(
        self, upgrade: Upgrade, said: Callable[[WebSocketPeer], None]
    ) -> None:
        client = upgrade.probe()
        said(client)
        upgrade.loop.run()
        upgrade.session.abandon_probe()

        assert isinstance(client.received()[-1], Close)
        self.assert_intact(upgrade)

    def assert_intact(self, upgrade: Upgrade) -> None:
        """Everything still works over polling, and another probe may come."""
        session = upgrade.session
        assert not upgrade.keeper.probing
        assert session.transport is upgrade.polling
        assert session.can_upgrade
        upgrade.handler.messages.clear()  # a probe's messages are nobody's
        session.send(outgoing("still here"))
        upgrade.post(b"4me too")
        assert upgrade.poll() == ["4still here"]
        assert upgrade.handler.messages == ["me too"]

        client = upgrade.upgrade()
        session.send(outgoing("at last"))
        assert client.received() == ["4at last"]
        assert upgrade.handler.closed == []

    @pytest.mark.parametrize("act", [case for case in PROBE_ENDS if case.id != "vanishes"])
    def test_its_websocket_is_closed(
        self, upgrade: Upgrade, act: Callable[[WebSocketPeer], None]
    ) -> None:
        client = upgrade.probe()
        act(client)
        upgrade.loop.run()

        (event,) = client.received()
        assert isinstance(event, Close)

    def test_its_messages_reach_nobody(self, upgrade: Upgrade) -> None:
        client = upgrade.probe()
        client.send("4message", b"\x01")
        upgrade.loop.run()

        assert upgrade.handler.messages == []

    def test_its_late_packets_change_nothing(self, upgrade: Upgrade) -> None:
        client = upgrade.probe()
        upgrade.session.abandon_probe()
        client.send("2probe", "5", "4hello")
        upgrade.loop.run()

        assert upgrade.session.transport is upgrade.polling
        assert upgrade.handler.messages == []
        assert upgrade.handler.closed == []

    def test_abandoning_what_is_no_probe_changes_nothing(self, upgrade: Upgrade) -> None:
        upgrade.session.abandon_probe()
        client = upgrade.upgrade()
        upgrade.session.abandon_probe()

        assert client.received() == []
        assert upgrade.session.is_open


class TestAProbeThatIsGoneBeforeTheLastPostIsTakenIn:
    """The WebSocket asked to take over, had to wait for a POST, and its time was over before."""

    @pytest.fixture
    def post(self, upgrade: Upgrade) -> FakeExchange:
        """The POST, which still waits."""
        upgrade.session.pause_reading()
        post = upgrade.start_post(b"4posted")
        client = upgrade.probe()
        client.send("2probe", "5")
        upgrade.loop.run()
        upgrade.session.abandon_probe()
        assert not upgrade.keeper.probing
        return post

    def test_the_session_stays_with_polling(self, upgrade: Upgrade, post: FakeExchange) -> None:
        upgrade.session.resume_reading()
        upgrade.loop.run()
        upgrade.session.send(outgoing("after it"))

        assert post.status == 200
        assert upgrade.handler.messages == ["posted"]
        assert upgrade.session.transport is upgrade.polling
        assert upgrade.poll() == ["4after it"]

    def test_a_session_that_ended_stays_so(self, upgrade: Upgrade, post: FakeExchange) -> None:
        upgrade.session.close(CloseReason.FORCED_CLOSE)
        upgrade.loop.run()

        assert post.status == 200
        assert upgrade.handler.closed == [CloseReason.FORCED_CLOSE]
        assert upgrade.poll() == ["1"]

    def test_the_next_one_may_take_over(self, upgrade: Upgrade, post: FakeExchange) -> None:
        upgrade.session.resume_reading()
        upgrade.loop.run()
        upgrade.upgrade()

        assert post.status == 200
        assert upgrade.session.transport.name == "websocket"


class TestWhoMayUpgrade:
    def test_a_session_over_polling_may(self, upgrade: Upgrade) -> None:
        assert upgrade.session.can_upgrade

    def test_one_that_is_about_to_may_not(self, upgrade: Upgrade) -> None:
        client = upgrade.probe()
        assert not upgrade.session.can_upgrade
        client.send("2probe")
        upgrade.loop.run()
        assert not upgrade.session.can_upgrade

    def test_one_that_did_may_not(self, upgrade: Upgrade) -> None:
        upgrade.upgrade()
        assert not upgrade.session.can_upgrade

    def test_one_that_began_over_a_websocket_may_not(self) -> None:
        session, _ = make_session(name="websocket")
        assert not session.can_upgrade

    def test_one_that_has_ended_may_not(self, upgrade: Upgrade) -> None:
        upgrade.session.close(CloseReason.FORCED_CLOSE)
        assert not upgrade.session.can_upgrade

    def test_one_that_has_not_begun_may_not(self) -> None:
        assert not Session("the-secret", RecordingKeeper(), HERE).can_upgrade


class TestASessionThatEndsDuringAProbe:
    @pytest.mark.parametrize("said", [_silence, _send("2probe")], ids=["silent", "probed"])
    def test_closes_the_websocket_as_well(
        self, upgrade: Upgrade, said: Callable[[WebSocketPeer], None]
    ) -> None:
        client = upgrade.probe()
        said(client)
        upgrade.loop.run()
        client.received()
        upgrade.session.close(CloseReason.PING_TIMEOUT)

        assert [type(event) for event in client.received()] == [Close]
        assert upgrade.poll() == ["1"]
        assert upgrade.handler.closed == [CloseReason.PING_TIMEOUT]
        assert not upgrade.keeper.probing

    def test_is_not_brought_back_by_it(self, upgrade: Upgrade) -> None:
        client = upgrade.probe()
        client.send("2probe")
        upgrade.loop.run()
        upgrade.session.close(CloseReason.PING_TIMEOUT)
        client.send("5", "4hello")
        upgrade.loop.run()

        assert not upgrade.session.is_open
        assert upgrade.handler.messages == []
        assert upgrade.handler.closed == [CloseReason.PING_TIMEOUT]


class TestWhateverTheOrder:
    @given(
        steps=st.lists(
            st.sampled_from(["to client", "from client", "poll", "probe", "upgrade", "fail"]),
            max_size=30,
        )
    )
    def test_nothing_is_lost_doubled_or_reordered(self, steps: list[str]) -> None:
        """Messages in both directions, while probes come, fail and take over at any moment."""
        upgrade = Upgrade()
        session = upgrade.session
        client: WebSocketPeer | None = None
        answered = False
        sent: list[str] = []
        posted: list[str | bytes] = []
        received: list[str] = []

        def fetch() -> None:
            if session.transport is upgrade.polling:
                received.extend(packet for packet in upgrade.poll() if packet != "6")
            if client is not None:
                events = client.received()
                received.extend(str(event) for event in events if event != "3probe")

        for i, step in enumerate(steps):
            upgraded = session.transport.name == "websocket"
            if step == "to client":
                session.send(outgoing(str(i)))
                sent.append(f"4{i}")
            elif step == "from client":
                if upgraded and client is not None:
                    client.send(f"4{i}")
                else:
                    upgrade.post(b"4%d" % i)
                posted.append(str(i))
            elif step == "poll":
                fetch()
            elif step == "probe" and session.can_upgrade:
                client, answered = upgrade.probe(), False
            elif step == "probe" and client is not None and not upgraded and not answered:
                client.send("2probe")
                answered = True
            elif step == "upgrade" and client is not None and answered and not upgraded:
                client.send("5")
            elif step == "fail" and client is not None and not upgraded:
                client.sock.close()
                client = None
            upgrade.loop.run()
        fetch()
        upgrade.close()

        assert received == sent
        assert upgrade.handler.messages == posted


class TestFragments:
    def test_a_probe_may_come_in_pieces(self, upgrade: Upgrade) -> None:
        client = upgrade.probe()
        for byte in frame(Opcode.TEXT, b"2probe") + frame(Opcode.TEXT, b"5"):
            client.send_bytes(bytes([byte]))
            upgrade.loop.run()

        assert upgrade.session.transport.name == "websocket"
