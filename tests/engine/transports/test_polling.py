"""Engine.IO over long-polling: payloads, waiting GETs, POSTs, pauses, probes and the end.

Nothing waits but in the loop, which a test moves: a request is an ``Exchange`` that records its
answer.
"""

from collections.abc import Callable

import pytest

from socketio_server.engine.transports.base import PING, PONG, PROBE_PONG
from socketio_server.engine.transports.polling import (
    AT_ONCE,
    FEW,
    LIGHT,
    PACKETS_FOR_PYTHON,
    PROBE_POLL_TIME,
    PollingTransport,
    error_response,
)
from socketio_server.exceptions import DecodeError
from socketio_server.net.queued_output import ENTRY_COST
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import ErrorCode, Packet, PacketType
from socketio_server.protocol.http1.responses import Response
from tests.fakes import (
    FakeExchange,
    FakeLoop,
    RecordingTransportHandler,
    make_polling,
    outgoing,
    packets,
    queued_output,
)

BAD_REQUEST = error_response(ErrorCode.BAD_REQUEST)


class Client:
    """A polling transport, the session above it, and requests to it."""

    def __init__(self, options: Options | None = None, *, seconds_per_look: float = 0.0) -> None:
        options = options or Options()
        self.loop = FakeLoop()
        self.loop.seconds_per_look = seconds_per_look
        self.session = RecordingTransportHandler()
        self.output = queued_output(self.loop, options)
        self.transport = make_polling(self.session, self.loop, options, self.output)

    def get(self) -> FakeExchange:
        """Begin a GET, and let the loop run until it waits or has its answer."""
        poll = FakeExchange()
        self.transport.answer_get(poll)
        self.loop.run()
        return poll

    def post(self, body: bytes) -> FakeExchange:
        """Begin a POST, and let the loop run until it waits or has its answer."""
        post = FakeExchange()
        self.transport.answer_post(body, "text/plain;charset=UTF-8", post)
        self.loop.run()
        return post

    def post_messages(self, count: int) -> FakeExchange:
        """Begin a POST of so many messages: "0", "1" and so on."""
        return self.post(b"\x1e".join(b"4%d" % i for i in range(count)))

    def fetch(self) -> list[str]:
        """Return what a GET gets, which must not have to wait."""
        return self.get().packets

    def answer_everything(self) -> None:
        """Have the session send an answer to each packet."""
        self.session.on_packet = lambda packet: self.transport.send(outgoing("answer"))


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def python_client() -> Client:
    """One of the official Python client's sessions."""
    client = Client()
    client.transport.packets_per_answer = PACKETS_FOR_PYTHON
    return client


class TestResponses:
    @pytest.mark.parametrize("code", list(ErrorCode))
    def test_an_error_is_the_protocol_s_json(self, code: ErrorCode) -> None:
        response = error_response(code)

        assert response.status == (403 if code is ErrorCode.FORBIDDEN else 400)
        assert response.content_type == "application/json"
        assert response.body.startswith(b'{"code":%d,"message":"' % code)

    @pytest.mark.parametrize(("status", "closes"), [(200, False), (204, False), (400, True)])
    def test_after_an_error_the_http_connection_ends(self, status: int, closes: bool) -> None:
        assert Response(status, b"").closes is closes


class TestGet:
    def test_its_name_is_polling(self, client: Client) -> None:
        assert client.transport.name == "polling"

    def test_it_takes_all_that_is_queued_in_one_payload(self, client: Client) -> None:
        client.transport.send(outgoing("one"))
        client.transport.send(PING)
        client.transport.send(outgoing("two"))
        assert client.transport.queued_bytes

        assert client.fetch() == ["4one", "2", "4two"]
        assert not client.transport.queued_bytes

    def test_it_waits_while_nothing_is_queued(self, client: Client) -> None:
        poll = client.get()
        assert poll.response is None
        assert client.transport.writable

        client.transport.send(outgoing("at last"))
        client.loop.run()
        assert poll.packets == ["4at last"]
        assert not client.transport.writable

    def test_what_is_sent_in_the_same_turn_comes_along(self, client: Client) -> None:
        poll = client.get()
        client.transport.send(outgoing("one"))
        assert poll.response is None  # nothing is answered but by the loop
        client.transport.send(outgoing("two"))
        client.loop.run()

        assert poll.packets == ["4one", "4two"]

    def test_attachments_follow_their_packet_in_base64(self, client: Client) -> None:
        client.transport.send(outgoing("51-[]", b"\x01\x02"))

        assert client.fetch() == ["451-[]", "bAQI="]

    def test_one_answer_has_all_that_waits(self, client: Client) -> None:
        for i in range(1500):
            client.transport.send(outgoing(str(i)))

        assert client.fetch() == [f"4{i}" for i in range(1500)]

    def test_one_answer_has_no_more_bytes_than_a_payload_may_have(self) -> None:
        client = Client(Options(max_payload=1000))
        for i in range(30):
            client.transport.send(outgoing(f"{i:099}"))

        answers = [client.get() for _ in range(4)]
        assert [len(poll.packets) for poll in answers] == [9, 9, 9, 3]
        assert all(poll.response and len(poll.response.body) <= 1000 for poll in answers)

    def test_a_message_larger_than_that_goes_alone(self) -> None:
        client = Client(Options(max_payload=1000))
        client.transport.send(outgoing("x" * 5000))
        client.transport.send(outgoing("next"))

        assert client.fetch() == ["4" + "x" * 5000]
        assert client.fetch() == ["4next"]

    def test_one_answer_to_the_python_client_has_as_many_packets_as_it_takes(
        self, python_client: Client
    ) -> None:
        """It gives up at a payload of more than sixteen."""
        for i in range(40):
            python_client.transport.send(outgoing(str(i)))

        answers = [python_client.fetch() for _ in range(3)]
        assert [len(payload) for payload in answers] == [16, 16, 8]
        assert [packet for payload in answers for packet in payload] == [f"4{i}" for i in range(40)]

    def test_a_message_and_its_attachments_stay_together(self, python_client: Client) -> None:
        for i in range(15):
            python_client.transport.send(outgoing(str(i)))
        python_client.transport.send(outgoing("51-[]", b"\x01"))

        assert len(python_client.fetch()) == 15
        assert python_client.fetch() == ["451-[]", "bAQ=="]

    def test_a_message_of_more_packets_than_that_goes_alone(self, python_client: Client) -> None:
        python_client.transport.send(outgoing("520-[]", *[b""] * 20))
        python_client.transport.send(outgoing("next"))

        assert python_client.fetch() == ["4520-[]", *["b"] * 20]
        assert python_client.fetch() == ["4next"]

    def test_the_answer_to_a_handshake_never_waits(self, client: Client) -> None:
        client.transport.send(outgoing("opening"))

        assert packets(client.transport.answer_at_once().body) == ["4opening"]
        assert packets(client.transport.answer_at_once().body) == ["6"]

    def test_a_second_one_beside_it_ends_the_session(self, client: Client) -> None:
        first = client.get()
        second = client.get()

        assert second.response == BAD_REQUEST
        assert client.session.closed == [CloseReason.PARSE_ERROR]
        assert client.session.refusals == ["packet: second GET while one is pending"]
        assert first.packets == ["1"]

    def test_one_after_the_other_is_fine(self, client: Client) -> None:
        for i in range(3):
            poll = client.get()
            client.transport.send(outgoing(str(i)))
            client.loop.run()
            assert poll.packets == [f"4{i}"]

        assert client.session.closed == []


class TestAGetThatGoesAway:
    """Its client may be back with the next before the loop has told of it, or after."""

    def test_it_gets_no_answer(self, client: Client) -> None:
        poll = client.get()
        client.transport.poll_lost(poll)
        client.transport.send(outgoing("not lost"))
        client.loop.run()

        assert poll.response is None
        assert client.transport.queued_bytes

    def test_the_next_one_takes_its_place(self, client: Client) -> None:
        client.transport.poll_lost(client.get())
        client.transport.send(outgoing("not lost"))

        assert client.fetch() == ["4not lost"]
        assert client.session.closed == []

    def test_the_next_one_may_wait_itself(self, client: Client) -> None:
        client.transport.poll_lost(client.get())
        poll = client.get()
        client.transport.send(outgoing("hello"))
        client.loop.run()

        assert poll.packets == ["4hello"]

    def test_what_was_sent_at_that_moment_is_not_lost(self, client: Client) -> None:
        poll = client.get()
        client.transport.send(outgoing("not lost"))
        client.transport.poll_lost(poll)
        client.loop.run()

        assert poll.response is None
        assert client.fetch() == ["4not lost"]

    def test_what_was_sent_is_not_lost_if_nobody_was_told_yet(self, client: Client) -> None:
        poll = client.get()
        poll.is_gone = True
        client.transport.send(outgoing("not lost"))
        client.loop.run()

        assert poll.response is None
        client.transport.poll_lost(poll)
        assert client.fetch() == ["4not lost"]

    def test_one_that_has_gone_when_it_is_looked_at_takes_nothing(self, client: Client) -> None:
        client.transport.send(outgoing("not lost"))
        poll = FakeExchange()
        poll.is_gone = True
        client.transport.answer_get(poll)

        assert poll.response is None
        assert client.fetch() == ["4not lost"]

    def test_makes_room_for_the_next_though_nobody_was_told_yet(self, client: Client) -> None:
        first = client.get()
        first.is_gone = True
        second = client.get()
        client.transport.poll_lost(first)
        client.transport.send(outgoing("hello"))
        client.loop.run()

        assert first.response is None
        assert second.packets == ["4hello"]
        assert client.session.closed == []

    def test_makes_room_for_the_one_before_it_as_well(self, client: Client) -> None:
        """Connections are not looked at in the order in which they were opened."""
        first = client.get()
        second = FakeExchange()
        second.is_gone = True
        client.transport.answer_get(second)
        client.transport.poll_lost(second)
        client.transport.send(outgoing("hello"))
        client.loop.run()

        assert second.response is None
        assert first.packets == ["4hello"]
        assert client.session.closed == []

    def test_several_make_room(self, client: Client) -> None:
        for _ in range(3):
            client.get().is_gone = True
        last = client.get()
        client.transport.send(outgoing("hello"))
        client.loop.run()

        assert last.packets == ["4hello"]
        assert client.session.closed == []

    def test_during_a_probe_the_next_one_waits_as_long_as_any(self, client: Client) -> None:
        client.transport.start_probe()
        poll = client.get()
        client.loop.advance(PROBE_POLL_TIME * 0.75)
        client.transport.poll_lost(poll)
        poll = client.get()
        client.loop.advance(PROBE_POLL_TIME * 0.75)
        assert poll.response is None

        client.loop.advance(PROBE_POLL_TIME * 0.25)
        assert poll.packets == ["6"]

    @pytest.mark.parametrize("probing", [False, True])
    @pytest.mark.parametrize("ends", ["goes away", "is answered"])
    def test_nothing_stays_behind_in_the_loop(
        self, client: Client, probing: bool, ends: str
    ) -> None:
        if probing:
            client.transport.start_probe()
        poll = client.get()
        if ends == "is answered":
            client.transport.send(outgoing("hello"))
            client.loop.run()
        else:
            client.transport.poll_lost(poll)

        assert not client.loop.watchers


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
            pytest.param(b"4fine\x1e9", id="one bad packet"),
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

    def test_a_large_one_is_taken_apart_in_a_turn_of_its_own(self, client: Client) -> None:
        post = FakeExchange()
        client.transport.answer_post(b"4" + b"x" * AT_ONCE, "text/plain", post)
        assert client.session.messages == []
        assert not client.transport.is_reading  # its pong may be in there

        client.loop.run()
        assert client.session.messages == ["x" * AT_ONCE]
        assert post.status == 200
        assert client.transport.is_reading

    @pytest.mark.parametrize("count", [FEW + 1, AT_ONCE])
    def test_its_packets_are_charged_as_objects_until_they_are_handed_up(
        self, client: Client, count: int
    ) -> None:
        held: list[int] = []
        client.session.on_packet = lambda packet: held.append(client.session.held)
        client.transport.pause_reading()
        client.post_messages(count)
        waiting = client.session.held
        client.transport.resume_reading()
        client.loop.run()

        assert waiting > count * 80
        assert held == sorted(held, reverse=True)
        assert held[-1] == client.session.held == 0

    def test_a_few_packets_are_not_charged(self, client: Client) -> None:
        client.transport.pause_reading()
        client.post_messages(FEW)

        assert client.session.held == 0

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

    def test_a_large_one_that_is_malformed_ends_the_session(self, client: Client) -> None:
        assert client.post(b"?" * (AT_ONCE + 1)).response == BAD_REQUEST
        assert client.session.closed == [CloseReason.PARSE_ERROR]

    def test_nothing_of_it_stays_behind_in_the_loop(self) -> None:
        client = Client(seconds_per_look=1.0)
        client.post_messages(5)

        assert not client.loop.watchers


class TestRates:
    def test_a_post_of_a_client_that_sends_too_fast_is_slowed_down(self) -> None:
        """A client may send so much at once, and so much a second after that (security, 12)."""
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
        assert set(client.session.refusals) == {
            "rate: packets come too fast, the client is throttled"
        }

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


class TestBackpressure:
    def test_a_client_that_does_not_fetch_is_closed(self) -> None:
        client = Client(Options(max_queued_bytes=3 * len(outgoing("x").frames)))
        for _ in range(3):
            client.transport.send(outgoing("x"))
        client.loop.run()
        assert client.session.closed == []

        client.transport.send(outgoing("x"))
        assert client.session.closed == []  # never on the spot: others may be sent to just now
        client.loop.run()
        assert client.session.closed == [CloseReason.TRANSPORT_ERROR]

    def test_what_was_fetched_does_not_count(self) -> None:
        client = Client(Options(max_queued_bytes=20))
        for _ in range(5):
            for _ in range(3):
                client.transport.send(outgoing("x"))
            client.fetch()
        client.loop.run()

        assert client.session.closed == []

    def test_a_post_is_taken_in_whatever_waits(self) -> None:
        client = Client(Options(high_water=10))
        client.answer_everything()
        post = client.post_messages(40)
        client.loop.run()

        assert post.status == 200
        assert client.session.messages == [str(i) for i in range(40)]

    def test_the_session_is_told_when_there_is_room_again(self) -> None:
        size = len(outgoing("x" * 100).frames)
        client = Client(Options(high_water=16 * size))
        client.transport.packets_per_answer = 16
        assert client.transport.ask_for_room()
        for _ in range(33):
            client.transport.send(outgoing("x" * 100))
        assert not client.transport.ask_for_room()

        client.fetch()
        assert client.session.rooms == 0
        client.fetch()
        assert client.session.rooms == 1
        assert client.transport.ask_for_room()

    def test_the_end_of_a_slow_client_is_told_once(self) -> None:
        client = Client(Options(max_queued_bytes=1))
        for _ in range(5):
            client.transport.send(outgoing("x"))
        client.loop.run()

        assert client.session.closed == [CloseReason.TRANSPORT_ERROR]
        assert client.session.refusals == ["slow client: more bytes queued than allowed"]

    def test_nothing_is_kept_for_it_even_before_it_is_told(self) -> None:
        client = Client(Options(max_queued_bytes=3 * len(outgoing("0").frames)))
        for number in range(100):
            client.transport.send(outgoing(str(number)))

        assert client.session.closed == []
        assert client.transport.queued_bytes == 0
        assert client.output.total == 0

    def test_what_waits_for_no_get_counts_until_one_takes_it(self) -> None:
        client = Client()
        client.transport.packets_per_answer = 1
        large = outgoing("x" * LIGHT)
        client.get()
        client.transport.send(large)
        assert client.output.total == 0
        client.transport.send(large)
        client.loop.run()
        assert client.output.total == len(large.frames) + ENTRY_COST

        client.fetch()
        assert client.output.total == 0

    @pytest.mark.parametrize("is_told", [True, False])
    def test_what_was_sent_while_a_get_waits_counts_if_its_client_has_gone(
        self, is_told: bool
    ) -> None:
        client = Client()
        poll = client.get()
        large = outgoing("x" * LIGHT)
        client.transport.send(large)
        if is_told:
            client.transport.poll_lost(poll)
        else:
            poll.is_gone = True
        client.loop.run()
        assert client.output.total == len(large.frames) + ENTRY_COST

        client.fetch()
        assert client.output.total == 0

    def test_heartbeats_that_wait_do_not_count(self) -> None:
        """A ping is one object for the process, and would always be the oldest message."""
        client = Client()
        large = outgoing("x" * LIGHT)
        client.transport.send_first(PING)
        client.transport.send(large)
        assert client.output.total == len(large.frames) + ENTRY_COST

        client.fetch()
        assert client.output.total == 0

    def test_little_that_waits_does_not_count(self) -> None:
        client = Client()
        client.transport.send(outgoing("hello"))
        assert client.output.total == 0

    def test_many_small_messages_count(self) -> None:
        client = Client()
        for _ in range(LIGHT // ENTRY_COST):
            client.transport.send(outgoing(""))
        count, size = LIGHT // ENTRY_COST, len(outgoing("").frames)
        assert client.output.total == count * (size + ENTRY_COST)

    def test_one_that_fetches_nothing_is_given_up(self) -> None:
        client = Client(Options(stall_timeout=10.0))
        client.transport.send(outgoing("x" * 200_000))
        client.loop.advance(9.0)
        assert client.session.closed == []

        client.loop.advance(1.0)
        assert client.session.closed == [CloseReason.TRANSPORT_ERROR]
        assert client.output.total == 0
        client.loop.advance(100.0)
        assert not client.loop.watchers

    def test_one_that_fetches_now_and_then_is_not(self) -> None:
        client = Client(Options(stall_timeout=10.0))
        for _ in range(10):
            client.transport.send(outgoing("x" * 900_000))
        for _ in range(10):
            client.loop.advance(9.0)
            client.fetch()

        assert client.session.closed == []

    def test_what_a_kernel_would_hold_may_wait_for_the_heartbeat(self) -> None:
        """A WebSocket in a tunnel has until its ping timeout; so has a client that polls."""
        client = Client(Options(stall_timeout=10.0))
        client.transport.send(outgoing("x" * 100_000))
        client.loop.advance(60.0)

        assert client.session.closed == []

    def test_one_that_takes_its_answer_slowly_is_not_given_up(self) -> None:
        client = Client(Options(stall_timeout=10.0))
        poll = client.get()
        poll.is_slow = True
        for _ in range(2):
            client.transport.send(outgoing("x" * 900_000))
        client.loop.advance(30.0)
        assert client.session.closed == []

        poll.is_slow = False
        client.loop.advance(10.0)
        assert client.session.closed == [CloseReason.TRANSPORT_ERROR]

    def test_a_heartbeat_goes_before_what_waits(self) -> None:
        client = Client()
        client.transport.send(outgoing("hello"))
        client.transport.send_first(PING)
        client.transport.send_first(PING)

        assert client.fetch() == ["2", "4hello"]

    def test_no_more_than_one_pong_waits_for_a_client_that_fetches_none(self) -> None:
        client = Client()
        for _ in range(100):
            client.transport.send_first(PONG)
            client.transport.send_first(PROBE_PONG)

        assert client.fetch() == ["3"]


class TestClosing:
    def test_the_waiting_get_is_released_with_a_close_packet(self, client: Client) -> None:
        poll = client.get()
        client.transport.close(CloseReason.FORCED_CLOSE)
        client.loop.run()

        assert poll.packets == ["1"]
        assert client.session.closed == [CloseReason.FORCED_CLOSE]

    def test_what_was_sent_goes_out_first(self, client: Client) -> None:
        client.transport.send(outgoing("last words"))
        client.transport.close(CloseReason.FORCED_CLOSE)
        assert client.transport.queued_bytes

        # Not together: the JavaScript client acts on a close before it hands out what came first.
        assert client.fetch() == ["4last words"]
        assert client.fetch() == ["1"]
        assert not client.transport.queued_bytes

    def test_what_is_sent_after_it_is_dropped(self, client: Client) -> None:
        client.transport.close(CloseReason.FORCED_CLOSE)
        client.transport.send(outgoing("too late"))

        assert client.fetch() == ["1"]

    def test_a_get_after_it_never_waits(self, client: Client) -> None:
        client.transport.close(CloseReason.FORCED_CLOSE)
        client.fetch()

        assert client.fetch() == ["6"]

    def test_closing_again_changes_nothing(self, client: Client) -> None:
        client.transport.close(CloseReason.PING_TIMEOUT)
        client.transport.close(CloseReason.FORCED_CLOSE)

        assert client.session.closed == [CloseReason.PING_TIMEOUT]
        assert client.fetch() == ["1"]


class TestUpgrade:
    """The transport's part in it; the session's is in ``tests/test_session.py``."""

    def test_a_probe_releases_the_waiting_get_with_a_noop(self, client: Client) -> None:
        poll = client.get()
        client.transport.start_probe()
        client.loop.run()

        assert poll.packets == ["6"]

    def test_a_get_during_the_probe_is_answered_soon(self, client: Client) -> None:
        client.transport.start_probe()
        poll = client.get()
        assert poll.response is None

        client.loop.advance(PROBE_POLL_TIME)
        assert poll.response == Response(200, b"6")

    def test_what_is_sent_during_the_probe_still_goes_out(self, client: Client) -> None:
        client.transport.start_probe()
        client.transport.send(outgoing("hello"))

        assert client.fetch() == ["4hello"]

    def test_after_a_failed_probe_gets_wait_again(self, client: Client) -> None:
        client.transport.start_probe()
        client.transport.end_probe()
        poll = client.get()
        client.loop.advance(100 * PROBE_POLL_TIME)
        assert poll.response is None

        client.transport.send(outgoing("hello"))
        client.loop.run()
        assert poll.packets == ["4hello"]

    def test_the_next_transport_gets_what_is_queued(self, client: Client) -> None:
        sent = [outgoing("one"), outgoing("two")]
        for message in sent:
            client.transport.send(message)

        assert list(client.transport.hand_over()) == sent
        assert not client.transport.queued_bytes

    @pytest.mark.parametrize(
        "after",
        [
            pytest.param(lambda t: t.send(outgoing("too late")), id="send"),
            pytest.param(lambda t: t.close(CloseReason.FORCED_CLOSE), id="close"),
        ],
    )
    def test_after_that_it_is_of_no_concern_to_anybody(
        self, client: Client, after: Callable[[PollingTransport], None]
    ) -> None:
        client.transport.hand_over()
        after(client.transport)

        assert client.fetch() == ["6"]
        assert client.post(b"4too late").response == BAD_REQUEST
        assert client.session.closed == []

    def test_the_get_that_waits_then_is_released_with_a_noop(self, client: Client) -> None:
        poll = client.get()
        client.transport.hand_over()
        client.loop.run()

        assert poll.packets == ["6"]

    def test_the_transport_is_quiet_while_no_post_is_under_way(self, client: Client) -> None:
        calls: list[str] = []
        client.transport.when_quiet(lambda: calls.append("quiet"))
        assert calls == ["quiet"]

    def test_the_transport_is_quiet_once_the_packets_of_a_post_were_handed_up(
        self, client: Client
    ) -> None:
        client.transport.pause_reading()
        post = client.post(b"4one\x1e4two")
        calls: list[object] = []

        def callback() -> None:
            assert post.response is None, "the client may send the next before it is heard"
            calls.append(list(client.session.messages))

        client.transport.when_quiet(callback)
        assert calls == []
        client.transport.resume_reading()
        client.loop.run()

        assert calls == [["one", "two"]]
        assert post.status == 200
