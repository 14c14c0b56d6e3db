"""The POSTs of a polling client: packets that are handed up, rates and pauses."""

from collections.abc import Callable
from sys import getrefcount

import pytest

from socketio_server.engine.transports.base import PING, TOO_FAST
from socketio_server.engine.transports.exchange import BAD_REQUEST
from socketio_server.engine.transports.polling import PollingTransport
from socketio_server.engine.transports.posts import AT_ONCE
from socketio_server.exceptions import DecodeError
from socketio_server.net.turns import Turns
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import Packet, PacketType
from socketio_server.protocol.http1.responses import Response
from tests.engine.transports.polling.client import Client
from tests.fakes.engine import FakeExchange, RecordingTransportHandler, make_polling, outgoing
from tests.fakes.loop import FakeLoop


class TestPost:
    def test_its_packets_are_handed_up_in_order(self, client: Client) -> None:
        post = client.post(b"4one\x1e3\x1ebAQI=\x1e4two")

        assert post.response == Response(200, b"ok", "text/html")
        assert client.session.packets == [
            Packet(PacketType.MESSAGE, "one"),
            Packet(PacketType.PONG),
            Packet(PacketType.MESSAGE, b"\x01\x02"),
            Packet(PacketType.MESSAGE, "two"),
        ]

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"hello", id="no packet"),
            pytest.param(b"4\xff", id="no UTF-8"),
            pytest.param(b"b!", id="no base64"),
            pytest.param(b"3\x1e" * 5, id="too many packets"),
        ],
    )
    def test_a_malformed_payload_ends_the_session(self, body: bytes) -> None:
        client = Client(Options(max_packets_per_payload=5))
        post = client.post(body)

        assert post.response == BAD_REQUEST
        assert client.session.closed == [CloseReason.PARSE_ERROR]
        assert client.session.packets == []

    def test_a_packet_that_the_session_refuses_ends_it(self, client: Client) -> None:
        def refuse(packet: Packet) -> None:
            raise DecodeError("no such thing")

        client.session.on_packet = refuse
        post = client.post(b"4bad\x1e4behind it")

        assert post.response == BAD_REQUEST
        assert client.session.messages == ["bad"]
        assert client.session.closed == [CloseReason.PARSE_ERROR]
        assert client.session.refusals == ["packet: no such thing"]

    def test_the_client_learns_of_its_error_through_the_get_as_well(self, client: Client) -> None:
        poll = client.get()
        client.post(b"nonsense")

        assert poll.packets == ["1"]

    def test_one_while_another_is_under_way_ends_the_session(self, client: Client) -> None:
        client.transport.pause_reading()
        first = client.post(b"4one")
        second = client.post(b"4two")

        assert second.response == BAD_REQUEST
        assert client.session.closed == [CloseReason.PARSE_ERROR]
        assert client.session.refusals == ["packet: second POST while one is pending"]
        assert client.session.messages == []
        assert first.status == 200

    def test_one_behind_another_is_fine(self, client: Client) -> None:
        for i in range(3):
            assert client.post(b"4%d" % i).status == 200

        assert client.session.messages == ["0", "1", "2"]

    def test_one_after_the_end_is_refused(self, client: Client) -> None:
        client.transport.close(CloseReason.FORCED_CLOSE)

        assert client.post(b"4too late").response == BAD_REQUEST
        assert client.session.packets == []

    def test_one_that_ends_the_session_is_answered_and_the_rest_of_it_dropped(
        self, client: Client
    ) -> None:
        client.session.on_packet = lambda packet: client.transport.close(CloseReason.FORCED_CLOSE)
        post = client.post_messages(3)

        assert post.status == 200
        assert client.session.messages == ["0"]
        assert client.session.closed == [CloseReason.FORCED_CLOSE]

    def test_a_long_payload_leaves_turns_to_the_others(self) -> None:
        client = Client(seconds_per_look=1.0)
        others: list[int] = []

        def note(packet: Packet) -> None:
            handled = len(client.session.packets)
            client.loop.run_callback(others.append, handled)

        client.session.on_packet = note
        post = client.post_messages(5)

        assert len(client.session.packets) == 5
        assert others == [1, 2, 3, 4, 5]
        assert post.status == 200

    def test_short_payloads_of_many_clients_share_the_time_of_a_turn(self) -> None:
        loop, options = FakeLoop(), Options(max_time_per_turn=7.0)
        turns = Turns(loop, options, clock=loop.clock)
        sessions = [RecordingTransportHandler() for _ in range(3)]
        for session in sessions:
            session.on_packet = lambda packet: setattr(loop, "now", loop.now + 4.0)
            transport = make_polling(session, loop, options, turns=turns)
            transport.answer_post(b"40\x1e41\x1e42\x1e43", "text/plain", FakeExchange())
        assert [session.messages for session in sessions] == [["0", "1", "2"], ["0"], ["0"]]
        loop.run()
        assert [session.messages for session in sessions] == [["0", "1", "2", "3"]] * 3

    def test_a_large_one_is_taken_apart_in_a_turn_of_its_own(self, client: Client) -> None:
        post = FakeExchange()
        client.transport.answer_post(b"4" + b"x" * AT_ONCE, "text/plain", post)
        assert client.session.messages == []
        assert not client.transport.is_reading  # its pong may be in there

        client.loop.run()
        assert client.session.messages == ["x" * AT_ONCE]
        assert post.status == 200
        assert client.transport.is_reading

    def test_a_large_one_is_charged_until_its_last_packet_is_handed_up(
        self, client: Client
    ) -> None:
        held: list[int] = []
        client.session.on_packet = lambda packet: held.append(client.session.charged)
        body = b"\x1e".join([b"6"] * AT_ONCE)
        client.transport.pause_reading()
        client.post(body)
        waiting = client.session.charged
        client.transport.resume_reading()
        client.loop.run()

        assert waiting == len(body)
        assert held == [waiting] * (AT_ONCE - 1) + [0]
        assert client.session.charged == 0

    def test_a_small_one_is_not_charged(self, client: Client) -> None:
        client.transport.pause_reading()
        client.post_messages(64)

        assert client.session.charged == 0

    def test_the_packets_before_a_malformed_one_are_handed_up(self, client: Client) -> None:
        """As in the reference server; the session ends behind them."""
        post = client.post(b"4first\x1e4second\x1e?\x1e4third")
        client.loop.run()

        assert client.session.messages == ["first", "second"]
        assert post.response == BAD_REQUEST
        assert client.session.closed == [CloseReason.PARSE_ERROR]

    def test_a_pause_before_that_turn_loses_nothing(self, client: Client) -> None:
        post = FakeExchange()
        client.transport.answer_post(b"4" + b"x" * AT_ONCE, "text/plain", post)
        client.transport.pause_reading()
        client.transport.resume_reading()
        client.loop.run()

        assert client.session.messages == ["x" * AT_ONCE]
        assert post.status == 200

    def test_one_whose_session_ends_before_its_turn_is_answered(self, client: Client) -> None:
        post = FakeExchange()
        client.transport.answer_post(b"4" + b"x" * AT_ONCE, "text/plain", post)
        client.transport.close(CloseReason.FORCED_CLOSE)
        client.loop.run()

        assert client.session.messages == []
        assert post.status == 200

    def test_one_whose_session_ends_before_its_turn_is_dropped_at_once(
        self, client: Client
    ) -> None:
        body = b"4" + b"x" * AT_ONCE
        references = getrefcount(body)
        client.transport.answer_post(body, "text/plain", FakeExchange())
        assert getrefcount(body) > references
        client.transport.close(CloseReason.FORCED_CLOSE)

        assert getrefcount(body) == references

    def test_a_large_one_that_is_malformed_ends_the_session(self, client: Client) -> None:
        assert client.post(b"?" * (AT_ONCE + 1)).response == BAD_REQUEST
        assert client.session.closed == [CloseReason.PARSE_ERROR]

    def test_nothing_of_it_stays_behind_in_the_loop(self) -> None:
        client = Client(seconds_per_look=1.0)
        client.post_messages(5)

        assert not client.loop.watchers


class TestPostThatArrivesInParts:
    def test_is_charged_as_it_arrives(self, client: Client) -> None:
        post = client.begin_post(0)
        for size in (1000, 5000):
            client.transport.post_arrives(post, size)
            assert client.session.charged == size

    @pytest.mark.parametrize("size", [100, AT_ONCE + 1])
    def test_is_taken_in_once_it_is_complete(self, client: Client, size: int) -> None:
        post = client.begin_post(10)
        client.transport.answer_post(b"4".ljust(size, b"x"), "text/plain", post)
        client.loop.run()

        assert post.status == 200
        assert client.session.messages == ["x" * (size - 1)]
        assert client.session.charged == 0
        assert client.post(b"4next").status == 200

    def test_is_charged_no_more_once_its_client_is_lost(self, client: Client) -> None:
        client.transport.request_lost(client.begin_post(1000))

        assert client.session.charged == 0
        assert client.post(b"4next").status == 200

    def test_is_refused_at_its_head_while_another_is_under_way(self, client: Client) -> None:
        first = client.begin_post(1000)
        second = client.begin_post(0)

        assert second.response == BAD_REQUEST
        assert client.session.closed == [CloseReason.PARSE_ERROR]
        assert client.session.refusals == ["packet: second POST while one is pending"]
        assert first.is_dropped
        assert client.session.charged == 0

    def test_is_refused_at_its_head_while_another_waits_for_the_session(
        self, client: Client
    ) -> None:
        client.transport.pause_reading()
        first = client.post(b"4one")
        assert client.begin_post(0).response == BAD_REQUEST
        client.loop.run()

        assert first.status == 200
        assert client.session.closed == [CloseReason.PARSE_ERROR]

    def test_keeps_a_whole_one_from_being_taken_in_before_it(self, client: Client) -> None:
        client.begin_post(1000)

        assert client.post(b"4two").response == BAD_REQUEST
        assert client.session.messages == []

    @pytest.mark.parametrize("size", [0, 1000])
    def test_is_forgotten_for_the_next_if_its_client_has_gone_unnoticed(
        self, client: Client, size: int
    ) -> None:
        first = client.begin_post(size)
        first.is_gone = True
        second = client.begin_post(500)
        assert first.is_dropped
        assert client.session.charged == 500

        client.transport.request_lost(first)
        assert client.session.charged == 500
        client.transport.answer_post(b"4hello", "text/plain", second)
        assert second.status == 200
        assert client.session.closed == []

    @pytest.mark.parametrize(
        "end",
        [
            pytest.param(lambda t: t.close(CloseReason.FORCED_CLOSE), id="close"),
            pytest.param(lambda t: t.callback_raised(), id="internal error"),
            pytest.param(lambda t: t.hand_over(), id="upgrade"),
        ],
    )
    def test_keeps_nothing_once_the_session_has_gone(
        self, client: Client, end: Callable[[PollingTransport], None]
    ) -> None:
        post = client.begin_post(1000)
        end(client.transport)

        assert post.is_dropped
        assert client.session.charged == 0
        assert client.begin_post(10).is_dropped
        assert client.session.charged == 0


class TestRates:
    def test_a_post_of_a_client_that_sends_too_fast_is_slowed_down(self) -> None:
        """A client may send so much at once, and so much a second after that."""
        client = Client(Options(max_packet_burst=5, max_packet_rate=1))
        post = client.post_messages(10)
        assert client.session.messages == list("012345")
        assert post.response is None
        assert not client.transport.is_reading  # its pong may be among those that wait

        client.loop.advance(1.0)
        assert client.session.messages == list("0123456")
        client.loop.advance(1000.0)
        assert client.session.messages == list("0123456789")
        assert post.status == 200
        assert set(client.session.refusals) == {f"rate: {TOO_FAST}"}

    def test_a_client_that_keeps_to_the_rate_is_never_slowed_down(self) -> None:
        client = Client(Options(max_packet_burst=5, max_packet_rate=1))
        for _ in range(50):
            client.loop.advance(1.0)
            assert client.post_messages(1).status == 200

        assert client.session.refusals == []


class TestPauses:
    def test_a_post_waits_for_its_answer_while_the_session_is_paused(self, client: Client) -> None:
        client.session.on_packet = lambda packet: client.transport.pause_reading()
        post = client.post(b"4one\x1e4two\x1e4three")
        assert client.session.messages == ["one"]
        assert not client.transport.is_reading

        client.transport.resume_reading()
        client.loop.run()
        assert client.session.messages == ["one", "two"]
        assert post.response is None

        client.session.on_packet = None
        client.transport.resume_reading()
        client.loop.run()
        assert client.session.messages == ["one", "two", "three"]
        assert client.transport.is_reading
        assert post.status == 200

    def test_a_ping_that_no_get_fetches_tells_that_the_client_is_gone(self, client: Client) -> None:
        client.transport.pause_reading()
        client.transport.send_first(PING)
        assert client.transport.is_reading  # so that its pong counts as missing

        assert client.get().packets == ["2"]
        assert not client.transport.is_reading

    def test_one_whose_last_packet_pauses_it_waits_as_well(self, client: Client) -> None:
        client.session.on_packet = lambda packet: client.transport.pause_reading()
        post = client.post(b"4one")
        assert post.response is None

        client.transport.resume_reading()
        client.loop.run()
        assert post.status == 200

    def test_one_that_comes_while_it_is_paused_is_not_looked_at(self, client: Client) -> None:
        client.transport.pause_reading()
        post = client.post(b"4one")
        assert client.session.messages == []

        client.transport.resume_reading()
        assert client.session.messages == []  # who resumes is not called upon
        client.loop.run()
        assert client.session.messages == ["one"]
        assert post.status == 200

    def test_a_pause_outlasts_the_turns_of_a_post(self) -> None:
        client = Client(seconds_per_look=1.0)
        post = FakeExchange()
        client.transport.answer_post(b"4one\x1e4two", "text/plain", post)
        client.transport.pause_reading()
        client.loop.run()
        assert client.session.messages == ["one"]

        client.transport.resume_reading()
        client.loop.run()
        assert client.session.messages == ["one", "two"]
        assert post.status == 200

    def test_a_pause_that_is_over_at_once_changes_nothing(self, client: Client) -> None:
        def hesitate(packet: Packet) -> None:
            client.transport.pause_reading()
            client.transport.resume_reading()

        client.session.on_packet = hesitate
        post = client.post_messages(3)

        assert client.session.messages == ["0", "1", "2"]
        assert post.status == 200

    def test_pausing_twice_and_resuming_twice_is_harmless(self, client: Client) -> None:
        client.transport.pause_reading()
        client.transport.pause_reading()
        client.transport.resume_reading()
        client.transport.resume_reading()

        assert client.post(b"4hello").status == 200

    def test_a_get_does_not_wait_for_it(self, client: Client) -> None:
        client.transport.pause_reading()
        client.transport.send(outgoing("hello"))

        assert client.fetch() == ["4hello"]

    def test_a_paused_post_ends_with_the_session(self, client: Client) -> None:
        client.transport.pause_reading()
        post = client.post(b"4one\x1e4two")
        client.transport.close(CloseReason.PING_TIMEOUT)
        client.loop.run()

        assert post.status == 200
        assert client.session.messages == []
        assert not client.loop.watchers
