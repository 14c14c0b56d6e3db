"""The GETs of a polling client: payloads, waiting, and GETs that go away."""

import pytest

from socketio_server.engine.transports.base import PING
from socketio_server.engine.transports.exchange import BAD_REQUEST, error_response
from socketio_server.engine.transports.polling import PROBE_POLL_TIME
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.protocol.http1.responses import Response
from tests.engine.transports.polling.client import Client
from tests.fakes.engine import FakeExchange, outgoing, packets


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

    @pytest.mark.parametrize("is_waiting", [True, False])
    def test_many_bytes_are_answered_one_client_after_another(self, is_waiting: bool) -> None:
        """They may have to be compressed."""
        client = Client()
        poll = FakeExchange()
        if is_waiting:
            client.transport.answer_get(poll)
        client.transport.send(outgoing("x" * 50_000))
        if not is_waiting:
            client.transport.answer_get(poll)
        assert poll.response is None
        client.loop.run()
        assert len(poll.packets) == 1

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

    def test_one_before_the_last_answer_was_read_ends_the_session(self, client: Client) -> None:
        """Nobody can have read an answer that the kernel has not taken."""
        client.transport.send(outgoing("large"))
        first = FakeExchange()
        first.is_slow = True
        client.transport.answer_get(first)
        assert first.packets == ["4large"]

        assert client.get().status == 400
        assert client.session.closed == [CloseReason.PARSE_ERROR]
        assert client.session.refusals == ["packet: GET before the answer to the last one was read"]

    def test_one_after_the_last_answer_was_read_waits(self, client: Client) -> None:
        client.transport.send(outgoing("large"))
        first = FakeExchange()
        first.is_slow = True
        client.transport.answer_get(first)
        first.is_slow = False
        second = client.get()

        assert second.response is None
        assert client.session.closed == []

    def test_one_whose_client_reads_too_little_of_the_answer_ends_the_session(
        self, client: Client
    ) -> None:
        client.transport.send(outgoing("large"))
        poll = FakeExchange()
        poll.is_slow = True
        client.transport.answer_get(poll)
        client.transport.request_lost(poll)

        assert client.session.closed == [CloseReason.TRANSPORT_ERROR]


class TestAGetThatGoesAway:
    """Its client may be back with the next before the loop has told of it, or after."""

    def test_it_gets_no_answer(self, client: Client) -> None:
        poll = client.get()
        client.transport.request_lost(poll)
        client.transport.send(outgoing("not lost"))
        client.loop.run()

        assert poll.response is None
        assert client.transport.queued_bytes

    def test_the_next_one_takes_its_place(self, client: Client) -> None:
        client.transport.request_lost(client.get())
        client.transport.send(outgoing("not lost"))

        assert client.fetch() == ["4not lost"]
        assert client.session.closed == []

    def test_the_next_one_may_wait_itself(self, client: Client) -> None:
        client.transport.request_lost(client.get())
        poll = client.get()
        client.transport.send(outgoing("hello"))
        client.loop.run()

        assert poll.packets == ["4hello"]

    def test_what_was_sent_at_that_moment_is_not_lost(self, client: Client) -> None:
        poll = client.get()
        client.transport.send(outgoing("not lost"))
        client.transport.request_lost(poll)
        client.loop.run()

        assert poll.response is None
        assert client.fetch() == ["4not lost"]

    def test_what_was_sent_is_not_lost_if_nobody_was_told_yet(self, client: Client) -> None:
        poll = client.get()
        poll.is_gone = True
        client.transport.send(outgoing("not lost"))
        client.loop.run()

        assert poll.response is None
        client.transport.request_lost(poll)
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
        client.transport.request_lost(first)
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
        client.transport.request_lost(second)
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
        client.transport.request_lost(poll)
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
            client.transport.request_lost(poll)

        assert not client.loop.watchers
