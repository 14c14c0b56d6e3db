"""An Engine.IO session: what reaches its handler, and how it ends."""

import pytest

from socketio_server.engine.session import Session
from socketio_server.exceptions import DecodeError
from socketio_server.net.refusals import RefusalKind
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import Packet, PacketType
from tests.fakes.engine import (
    HERE,
    RecordingKeeper,
    RecordingSessionHandler,
    RecordingTransport,
    make_session,
    outgoing,
    receive,
)


class TestTheBeginning:
    def test_the_opening_packet_goes_before_all_else(self) -> None:
        session, transport = make_session()
        session.send(outgoing("hello"))

        assert transport.sent == ["0{}", "4hello"]
        assert session.is_open

    def test_the_handler_is_told_once_behind_the_opening_packet(self) -> None:
        class Greeting(RecordingSessionHandler):
            def session_started(self) -> None:
                super().session_started()
                session.send(outgoing("welcome"))

        session = Session("the-secret", RecordingKeeper(), HERE)
        handler, transport = Greeting(), RecordingTransport(session)
        session.start(transport, handler, b"0{}")

        assert transport.sent == ["0{}", "4welcome"]
        assert handler.started == 1

    def test_a_session_that_has_begun_lasts(self) -> None:
        session, _ = make_session()
        assert session.is_open
        assert session.close_reason is None

    def test_before_it_nothing_is_sent(self) -> None:
        session = Session("the-secret", RecordingKeeper(), HERE)
        session.send(outgoing("too early"))

        assert not session.is_open
        assert session.transport.name == ""


class TestPackets:
    def test_messages_reach_the_handler(self) -> None:
        handler = RecordingSessionHandler()
        session, _ = make_session(handler)
        receive(session, "text", b"bytes", "")

        assert handler.messages == ["text", b"bytes", ""]

    def test_a_message_that_its_transport_had_to_decode_reaches_the_handler_as_well(self) -> None:
        """As base64 over a WebSocket of revision 3."""
        handler = RecordingSessionHandler()
        session, transport = make_session(handler)
        session.packet_received(transport, Packet(PacketType.MESSAGE, b"\x01"))

        assert handler.messages == [b"\x01"]

    def test_a_pong_is_the_engine_s_business(self) -> None:
        keeper = RecordingKeeper()
        handler = RecordingSessionHandler()
        session, transport = make_session(handler, keeper=keeper)
        session.packet_received(transport, Packet(PacketType.PONG))

        assert keeper.pongs == 1
        assert handler.messages == []

    def test_a_close_ends_the_session(self) -> None:
        handler = RecordingSessionHandler()
        session, transport = make_session(handler)
        session.packet_received(transport, Packet(PacketType.CLOSE))

        assert handler.closed == [CloseReason.TRANSPORT_CLOSE]

    def test_a_noop_changes_nothing(self) -> None:
        handler = RecordingSessionHandler()
        session, transport = make_session(handler)
        session.packet_received(transport, Packet(PacketType.NOOP))

        assert handler.messages == []
        assert handler.closed == []

    @pytest.mark.parametrize("kind", [PacketType.OPEN, PacketType.PING, PacketType.UPGRADE])
    def test_what_a_client_may_not_send_is_an_error(self, kind: PacketType) -> None:
        session, transport = make_session()
        with pytest.raises(DecodeError, match=kind.name):
            session.packet_received(transport, Packet(kind))

    def test_the_handler_s_own_refusal_passes(self) -> None:
        class Refusing(RecordingSessionHandler):
            def text_received(self, data: str) -> None:
                raise DecodeError("nonsense")

        session, _ = make_session(Refusing())
        with pytest.raises(DecodeError, match="nonsense"):
            receive(session, "anything")

    @pytest.mark.parametrize(
        ("data", "pong"), [("", "3"), ("probe", "3probe"), ("x" * 1_000_000, "3")]
    )
    def test_a_client_of_revision_3_sends_the_pings(self, data: str, pong: str) -> None:
        keeper = RecordingKeeper()
        session = Session("the-secret", keeper, HERE, revision=3)
        transport = RecordingTransport(session)
        session.start(transport, RecordingSessionHandler(), b"0{}")
        session.packet_received(transport, Packet(PacketType.PING, data))

        assert keeper.pings == 1
        assert transport.sent == ["0{}", pong]

    def test_the_heartbeat_is_a_ping_packet(self) -> None:
        session, transport = make_session()
        session.ping()

        assert transport.sent == ["0{}", "2"]


class TestRefusals:
    def test_what_the_client_did_wrong_is_the_engine_s_business(self) -> None:
        keeper = RecordingKeeper()
        session, _ = make_session(keeper=keeper)
        session.client_refused(RefusalKind.PACKET, "nonsense")

        assert keeper.refusals == ["packet: nonsense"]
        assert session.is_open


class TestPauses:
    def test_its_transport_is_paused_and_resumed(self) -> None:
        session, transport = make_session()
        session.pause_reading()
        assert transport.paused

        session.resume_reading()
        assert not transport.paused

    def test_after_the_end_that_is_harmless(self) -> None:
        handler = RecordingSessionHandler()
        session, transport = make_session(handler)
        session.pause_reading()
        session.close(CloseReason.FORCED_CLOSE)
        session.resume_reading()
        session.pause_reading()

        assert handler.closed == [CloseReason.FORCED_CLOSE]
        assert transport.paused  # nobody asks it for anything any more


class TestTheLine:
    """Those who send to one client wait until there is room."""

    def test_is_empty_while_there_is_room(self) -> None:
        session, transport = make_session()
        assert session.ask_for_room()

        transport.is_full = True
        assert not session.ask_for_room()
        assert session.line is None

    def test_who_comes_while_others_wait_waits_behind_them(self) -> None:
        session, transport = make_session()
        transport.is_full = True
        first, second = session.join_line(b"hello"), session.join_line(b"hello")
        transport.is_full = False

        assert not session.ask_for_room()
        assert [session.is_turn_of(place) for place in (first, second)] == [True, False]
        session.leave_line(first)
        assert session.is_turn_of(second)
        session.leave_line(second)
        assert session.ask_for_room()

    def test_the_first_is_woken_when_room_is_made_and_the_next_by_it(self) -> None:
        session, transport = make_session()
        transport.is_full = True
        first, second = session.join_line(b"hello"), session.join_line(b"hello")
        transport.is_full = False
        session.room_made(transport)
        assert [first.is_set(), second.is_set()] == [True, False]

        session.leave_line(first)
        assert second.is_set()

    def test_the_next_waits_on_if_the_first_took_the_room(self) -> None:
        session, transport = make_session()
        first, second = session.join_line(b"hello"), session.join_line(b"hello")
        session.room_made(transport)
        transport.is_full = True
        session.leave_line(first)

        assert not second.is_set()
        assert not session.is_turn_of(second)

    def test_who_gives_up_leaves_the_others_in_their_order(self) -> None:
        session, transport = make_session()
        transport.is_full = True
        first, second, third = [session.join_line(b"hello") for _ in range(3)]
        session.leave_line(second)
        transport.is_full = False

        assert [session.is_turn_of(place) for place in (first, third)] == [True, False]

    def test_what_another_transport_says_does_not_count(self) -> None:
        session, _ = make_session()
        place = session.join_line(b"hello")
        session.room_made(RecordingTransport(session))

        assert not place.is_set()

    def test_is_dissolved_by_the_end(self) -> None:
        session, transport = make_session()
        transport.is_full = True
        places = [session.join_line(b"hello"), session.join_line(b"hello")]
        session.close(CloseReason.FORCED_CLOSE)

        assert all(place.is_set() and session.is_turn_of(place) for place in places)
        for place in places:
            session.leave_line(place)
        assert session.ask_for_room()


class TestTheEnd:
    @pytest.mark.parametrize("reason", list(CloseReason))
    def test_handler_and_engine_learn_of_it_once(self, reason: CloseReason) -> None:
        handler, keeper = RecordingSessionHandler(), RecordingKeeper()
        session, transport = make_session(handler, keeper=keeper)
        session.close(reason)
        session.close(CloseReason.FORCED_CLOSE)

        assert handler.closed == [reason]
        assert keeper.ended == [transport]
        assert session.close_reason is reason
        assert not session.is_open

    def test_a_transport_that_breaks_ends_it(self) -> None:
        handler = RecordingSessionHandler()
        session, transport = make_session(handler)
        session.transport_closed(transport, CloseReason.TRANSPORT_ERROR)

        assert handler.closed == [CloseReason.TRANSPORT_ERROR]

    @pytest.mark.parametrize("name", ["polling", "websocket"])
    def test_it_still_knows_which_transport_it_had(self, name: str) -> None:
        session, _ = make_session(name=name)
        session.close(CloseReason.FORCED_CLOSE)

        assert session.transport.name == name

    def test_it_keeps_nothing_else_of_its_transport(self) -> None:
        session, transport = make_session()
        session.close(CloseReason.FORCED_CLOSE)

        assert session.transport is not transport
        assert session.transport.queued_bytes == 0
        assert not session.transport.writable

    def test_what_is_sent_after_it_is_dropped(self) -> None:
        session, transport = make_session()
        session.close(CloseReason.FORCED_CLOSE)
        session.send(outgoing("too late"))
        session.ping()

        assert transport.sent == ["0{}"]

    def test_what_the_client_sends_after_it_is_dropped(self) -> None:
        handler = RecordingSessionHandler()
        session, transport = make_session(handler)
        session.close(CloseReason.FORCED_CLOSE)
        session.message_received(transport, "too late")
        session.packet_received(transport, Packet(PacketType.OPEN))

        assert handler.messages == []
