"""Engine.IO over long-polling: payloads, waiting GETs, POSTs, pauses, probes and the end.

The greenlets of GETs and POSTs are real ones, in the hub of the test's own thread; nothing is
monkey-patched.
"""

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent import socket as gevent_socket

from socketio_server.answers import Response
from socketio_server.exceptions import DecodeError
from socketio_server.options import Options
from socketio_server.protocol.engineio import CloseReason, ErrorCode, Packet, PacketType
from socketio_server.transports.base import PING
from socketio_server.transports.polling import PollingTransport, error_response
from tests.fakes import PATIENCE, FakeLoop, RecordingTransportHandler, outgoing, packets, settle


class Client:
    """A polling transport, the session above it, and requests to it."""

    def __init__(self, options: Options | None = None) -> None:
        self.loop = FakeLoop()
        self.session = RecordingTransportHandler()
        self.transport = PollingTransport(self.session, self.loop, options or Options())
        self._sockets: list[gevent_socket.socket] = []

    def get(self) -> "gevent.Greenlet[..., Response | None]":
        """Begin a GET, and let it run until it waits or has its answer."""
        ours, self.socket = gevent_socket.socketpair()
        self._sockets += (ours, self.socket)
        request = gevent.spawn(self.transport.answer_get, ours)
        settle()
        return request

    def post(self, body: bytes) -> "gevent.Greenlet[..., Response]":
        """Begin a POST, and let it run until it waits or has its answer."""
        request = gevent.spawn(self.transport.answer_post, body, "text/plain;charset=UTF-8")
        settle()
        return request

    def fetch(self) -> list[str]:
        """Return what a GET gets, which must not have to wait."""
        return answer(self.get())

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


def answer(request: "gevent.Greenlet[..., Response | None]") -> list[str]:
    """Return the packets that a GET was answered with, by now."""
    settle()
    assert request.ready(), "the GET still waits"
    response = request.get(block=False)
    assert response is not None
    assert response.status == 200
    return list(packets(response.body))


def is_refused(request: "gevent.Greenlet[..., Any]") -> bool:
    """Whether a request was answered with a 400."""
    response: Response | None = request.get(block=False)
    return response == error_response(ErrorCode.BAD_REQUEST)


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.close()


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
        assert not client.transport.drained

        assert client.fetch() == ["4one", "2", "4two"]
        assert client.transport.drained

    def test_it_waits_while_nothing_is(self, client: Client) -> None:
        request = client.get()
        assert not request.ready()

        client.transport.send(outgoing("at last"))
        assert answer(request) == ["4at last"]

    def test_what_is_sent_before_it_wakes_up_comes_along(self, client: Client) -> None:
        request = client.get()
        client.transport.send(outgoing("one"))
        client.transport.send(outgoing("two"))

        assert answer(request) == ["4one", "4two"]

    def test_attachments_follow_their_packet_in_base64(self, client: Client) -> None:
        client.transport.send(outgoing("51-[]", b"\x01\x02"))

        assert client.fetch() == ["451-[]", "bAQI="]

    def test_one_answer_has_as_many_packets_as_any_client_takes(self, client: Client) -> None:
        """The official Python client gives up at a payload of more than sixteen packets."""
        for i in range(40):
            client.transport.send(outgoing(str(i)))

        answers = [client.fetch() for _ in range(3)]
        assert [len(payload) for payload in answers] == [16, 16, 8]
        assert [packet for payload in answers for packet in payload] == [f"4{i}" for i in range(40)]

    def test_a_message_and_its_attachments_stay_together(self, client: Client) -> None:
        for i in range(15):
            client.transport.send(outgoing(str(i)))
        client.transport.send(outgoing("51-[]", b"\x01"))

        assert len(client.fetch()) == 15
        assert client.fetch() == ["451-[]", "bAQ=="]

    def test_a_message_of_more_packets_than_that_goes_alone(self, client: Client) -> None:
        client.transport.send(outgoing("520-[]", *[b""] * 20))
        client.transport.send(outgoing("next"))

        assert client.fetch() == ["4520-[]", *["b"] * 20]
        assert client.fetch() == ["4next"]

    def test_the_answer_to_a_handshake_never_waits(self, client: Client) -> None:
        client.transport.send(outgoing("opening"))

        assert packets(client.transport.answer_at_once().body) == ["4opening"]
        assert packets(client.transport.answer_at_once().body) == ["6"]

    def test_a_second_one_beside_it_ends_the_session(self, client: Client) -> None:
        first = client.get()
        second = client.get()

        assert is_refused(second)
        assert client.session.closed == [CloseReason.PARSE_ERROR]
        assert answer(first) == ["1"]

    def test_one_after_the_other_is_fine(self, client: Client) -> None:
        for i in range(3):
            request = client.get()
            client.transport.send(outgoing(str(i)))
            assert answer(request) == [f"4{i}"]

        assert client.session.closed == []


class TestAGetThatGoesAway:
    def test_it_gets_no_answer(self, client: Client) -> None:
        request = client.get()
        client.socket.close()
        client.loop.run()
        settle()

        assert request.ready()
        assert request.get() is None

    def test_the_next_one_takes_its_place(self, client: Client) -> None:
        client.get()
        client.socket.close()
        client.loop.run()
        settle()
        client.transport.send(outgoing("not lost"))

        assert client.fetch() == ["4not lost"]
        assert client.session.closed == []

    def test_what_was_sent_at_that_moment_is_not_lost(self, client: Client) -> None:
        request = client.get()
        client.socket.close()
        client.loop.run()
        client.transport.send(outgoing("not lost"))
        settle()

        assert request.get() is None
        assert client.fetch() == ["4not lost"]

    def test_a_client_that_only_sends_something_has_not_gone(self, client: Client) -> None:
        request = client.get()
        client.socket.sendall(b"GET / HTTP/1.1")
        client.loop.run()
        settle()
        assert not request.ready()

        client.transport.send(outgoing("hello"))
        assert answer(request) == ["4hello"]

    def test_nothing_stays_behind_in_the_loop(self, client: Client) -> None:
        request = client.get()
        client.transport.send(outgoing("hello"))
        answer(request)

        assert not client.loop.watchers


class TestPost:
    def test_its_packets_are_handed_up_in_order(self, client: Client) -> None:
        request = client.post(b"4one\x1e3\x1ebAQI=\x1e4two")

        assert request.get(block=False) == Response(200, b"ok", "text/html")
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
        request = client.post(body)

        assert is_refused(request)
        assert client.session.closed == [CloseReason.PARSE_ERROR]
        assert client.session.packets == []

    def test_a_packet_that_the_session_refuses_ends_it(self, client: Client) -> None:
        def refuse(packet: Packet) -> None:
            raise DecodeError("no such thing")

        client.session.on_packet = refuse
        request = client.post(b"4bad\x1e4behind it")

        assert is_refused(request)
        assert client.session.messages == ["bad"]
        assert client.session.closed == [CloseReason.PARSE_ERROR]
        assert client.session.refusals == ["packet: no such thing"]

    def test_the_client_learns_of_its_error_through_the_get_as_well(self, client: Client) -> None:
        request = client.get()
        client.post(b"nonsense")

        assert answer(request) == ["1"]

    def test_one_while_another_is_under_way_ends_the_session(self, client: Client) -> None:
        client.transport.pause_reading()
        first = client.post(b"4one")
        second = client.post(b"4two")

        assert is_refused(second)
        assert client.session.closed == [CloseReason.PARSE_ERROR]
        assert client.session.messages == ["one"]
        assert first.get(timeout=PATIENCE)

    def test_one_after_the_end_is_refused(self, client: Client) -> None:
        client.transport.close(CloseReason.FORCED_CLOSE)

        assert is_refused(client.post(b"4too late"))
        assert client.session.packets == []

    def test_a_long_payload_leaves_turns_to_the_others(self) -> None:
        client = Client(Options(max_time_per_turn=1e-9))
        others: list[int] = []

        def note(packet: Packet) -> None:
            handled = len(client.session.packets)
            gevent.get_hub().loop.run_callback(others.append, handled)

        client.session.on_packet = note
        client.post(b"\x1e".join([b"4x"] * 5))

        assert len(client.session.packets) == 5
        assert others == [1, 2, 3, 4, 5]


class TestRates:
    def test_a_post_of_a_client_that_sends_too_fast_is_slowed_down(self) -> None:
        """A client may send so much at once, and so much a second after that (security, 12)."""
        client = Client(Options(max_packet_burst=5, max_packet_rate=1000))
        request = client.post(b"\x1e".join(b"4%d" % i for i in range(10)))
        assert len(client.session.messages) >= 5

        assert request.get(timeout=PATIENCE).status == 200
        assert client.session.messages == list("0123456789")


class TestPauses:
    def test_a_post_waits_for_its_answer_while_the_session_is_paused(self, client: Client) -> None:
        client.session.on_packet = lambda packet: client.transport.pause_reading()
        request = client.post(b"4one\x1e4two\x1e4three")
        assert client.session.messages == ["one"]
        assert not request.ready()

        client.transport.resume_reading()
        settle()
        assert client.session.messages == ["one", "two"]

        client.session.on_packet = None
        client.transport.resume_reading()
        settle()
        assert client.session.messages == ["one", "two", "three"]
        assert request.get(block=False).status == 200

    def test_pausing_twice_and_resuming_twice_is_harmless(self, client: Client) -> None:
        client.transport.pause_reading()
        client.transport.pause_reading()
        client.transport.resume_reading()
        client.transport.resume_reading()

        assert client.post(b"4hello").get(block=False).status == 200

    def test_a_get_does_not_wait_for_it(self, client: Client) -> None:
        client.transport.pause_reading()
        client.transport.send(outgoing("hello"))

        assert client.fetch() == ["4hello"]

    def test_a_paused_post_ends_with_the_session(self, client: Client) -> None:
        client.transport.pause_reading()
        request = client.post(b"4one\x1e4two")
        client.transport.close(CloseReason.PING_TIMEOUT)

        assert request.get(timeout=PATIENCE)


class TestBackpressure:
    @pytest.mark.parametrize(
        "options",
        [
            pytest.param(Options(max_queued_packets=3), id="packets"),
            pytest.param(Options(max_queued_bytes=3 * len(outgoing("x").frames)), id="bytes"),
        ],
    )
    def test_a_client_that_does_not_fetch_is_closed(self, options: Options) -> None:
        client = Client(options)
        for _ in range(3):
            client.transport.send(outgoing("x"))
        client.loop.run()
        assert client.session.closed == []

        client.transport.send(outgoing("x"))
        assert client.session.closed == []  # never on the spot: others may be sent to just now
        client.loop.run()
        assert client.session.closed == [CloseReason.TRANSPORT_ERROR]

    def test_what_was_fetched_does_not_count(self) -> None:
        client = Client(Options(max_queued_packets=3, max_queued_bytes=20))
        for _ in range(5):
            for _ in range(3):
                client.transport.send(outgoing("x"))
            client.fetch()
        client.loop.run()

        assert client.session.closed == []
        client.close()

    @pytest.mark.parametrize(
        "options", [Options(max_queued_packets=10), Options(max_queued_bytes=100)]
    )
    def test_a_post_waits_while_too_little_is_fetched(self, options: Options) -> None:
        """What the server answers waits for a GET, and an echo flood pays for itself."""
        client = Client(options)
        client.session.on_packet = lambda packet: client.transport.send(outgoing("answer"))
        request = client.post(b"\x1e".join(b"4%d" % i for i in range(40)))
        fetched = 0
        while not request.ready():
            assert client.session.closed == []
            packets_ = client.fetch()
            assert packets_ != ["6"], "the POST waits for nothing"
            fetched += len(packets_)

        assert request.get(block=False).status == 200
        assert client.session.messages == [str(i) for i in range(40)]
        client.close()

    def test_a_client_that_fetches_nothing_meanwhile_is_closed(self) -> None:
        client = Client(Options(max_queued_packets=10, stall_timeout=0.01))
        client.session.on_packet = lambda packet: client.transport.send(outgoing("answer"))
        request = client.post(b"\x1e".join(b"4%d" % i for i in range(40)))
        request.get(timeout=PATIENCE)

        assert client.session.closed == [CloseReason.TRANSPORT_ERROR]
        assert len(client.session.messages) < 40

    def test_a_post_that_waits_so_ends_with_the_session(self) -> None:
        client = Client(Options(max_queued_packets=10))
        client.session.on_packet = lambda packet: client.transport.send(outgoing("answer"))
        request = client.post(b"\x1e".join(b"4%d" % i for i in range(40)))
        assert not request.ready()
        client.transport.close(CloseReason.PING_TIMEOUT)

        assert request.get(timeout=PATIENCE)

    def test_it_is_told_once(self) -> None:
        client = Client(Options(max_queued_packets=1))
        for _ in range(5):
            client.transport.send(outgoing("x"))
        client.loop.run()

        assert client.session.closed == [CloseReason.TRANSPORT_ERROR]


class TestClosing:
    def test_the_waiting_get_is_released_with_a_close_packet(self, client: Client) -> None:
        request = client.get()
        client.transport.close(CloseReason.FORCED_CLOSE)

        assert answer(request) == ["1"]
        assert client.session.closed == [CloseReason.FORCED_CLOSE]

    def test_what_was_sent_goes_out_first(self, client: Client) -> None:
        client.transport.send(outgoing("last words"))
        client.transport.close(CloseReason.FORCED_CLOSE)
        assert not client.transport.drained

        # Not together: the JavaScript client acts on a close before it hands out what came first.
        assert client.fetch() == ["4last words"]
        assert client.fetch() == ["1"]
        assert client.transport.drained

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
        request = client.get()
        client.transport.start_probe()

        assert answer(request) == ["6"]

    def test_a_get_during_the_probe_is_answered_soon(self, client: Client) -> None:
        client.transport.start_probe()
        response = client.get().get(timeout=PATIENCE)

        assert response == Response(200, b"6")

    def test_what_is_sent_during_the_probe_still_goes_out(self, client: Client) -> None:
        client.transport.start_probe()
        client.transport.send(outgoing("hello"))

        assert client.fetch() == ["4hello"]

    def test_after_a_failed_probe_gets_wait_again(self, client: Client) -> None:
        client.transport.start_probe()
        client.transport.end_probe()
        request = client.get()
        assert not request.ready()

        client.transport.send(outgoing("hello"))
        assert answer(request) == ["4hello"]

    def test_the_next_transport_gets_what_is_queued(self, client: Client) -> None:
        sent = [outgoing("one"), outgoing("two")]
        for message in sent:
            client.transport.send(message)

        assert list(client.transport.hand_over()) == sent
        assert client.transport.drained

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
        assert is_refused(client.post(b"4too late"))
        assert client.session.closed == []

    def test_the_get_that_waits_then_is_released_with_a_noop(self, client: Client) -> None:
        request = client.get()
        client.transport.hand_over()

        assert answer(request) == ["6"]

    def test_the_post_that_waits_then_is_answered(self, client: Client) -> None:
        client.transport.pause_reading()
        request = client.post(b"4hello")
        client.transport.hand_over()
        settle()

        assert request.get(block=False).status == 200
