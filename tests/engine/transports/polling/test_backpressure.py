"""Polling clients that fetch too little."""

import pytest

from socketio_server.engine.transports.base import PING, PONG, PROBE_PONG
from socketio_server.engine.transports.polling import LIGHT
from socketio_server.net.queued_output import ENTRY_COST, MESSAGE_COST
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from tests.engine.transports.polling.client import Client
from tests.fakes.engine import FakeExchange, outgoing


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
        size = len(outgoing("x" * 100).frames) + ENTRY_COST + MESSAGE_COST
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

    def test_many_small_messages_leave_no_room(self) -> None:
        """Each takes much more than its few bytes."""
        client = Client(Options(high_water=16 * (ENTRY_COST + MESSAGE_COST)))
        for _ in range(16):
            client.transport.send(outgoing(""))
        assert not client.transport.ask_for_room()

        client.fetch()
        assert client.transport.ask_for_room()

    def test_a_client_that_is_given_up_has_no_room(self) -> None:
        """Otherwise a handler that goes on sending would keep the loop from closing its session."""
        client = Client(Options(max_queued_bytes=1))
        client.transport.send(outgoing("x"))
        assert client.session.closed == []
        assert not client.transport.ask_for_room()

    def test_the_end_of_a_slow_client_is_told_once(self) -> None:
        client = Client(Options(max_queued_bytes=1))
        for _ in range(5):
            client.transport.send(outgoing("x"))
        client.loop.run()

        assert client.session.closed == [CloseReason.TRANSPORT_ERROR]
        assert client.session.refusals == [
            "queued: more bytes queued than allowed (SOCKETIO_MAX_QUEUED_BYTES)"
        ]

    def test_nothing_is_kept_for_it_even_before_it_is_told(self) -> None:
        client = Client(Options(max_queued_bytes=3 * len(outgoing("0").frames)))
        for number in range(100):
            client.transport.send(outgoing(str(number)))

        assert client.session.closed == []
        assert client.transport.queued_bytes == 0
        assert client.output.total == 0

    def test_what_waits_counts_until_a_get_takes_it(self) -> None:
        client = Client()
        client.transport.packets_per_answer = 1
        large = outgoing("x" * LIGHT)
        for _ in range(2):
            client.transport.send(large)
        assert client.output.total == len(large.frames) + MESSAGE_COST + 2 * ENTRY_COST

        client.fetch()
        assert client.output.total == len(large.frames) + MESSAGE_COST + ENTRY_COST
        client.fetch()
        assert client.output.total == 0

    def test_what_is_sent_while_a_get_waits_counts_until_it_is_answered(self) -> None:
        client = Client()
        client.get()
        large = outgoing("x" * LIGHT)
        client.transport.send(large)
        assert client.output.total == len(large.frames) + MESSAGE_COST + ENTRY_COST

        client.loop.run()
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
            client.transport.request_lost(poll)
        else:
            poll.is_gone = True
        client.loop.run()
        assert client.output.total == len(large.frames) + MESSAGE_COST + ENTRY_COST

        client.fetch()
        assert client.output.total == 0

    def test_those_whose_gets_wait_are_given_up_too_if_there_is_no_room(self) -> None:
        client = Client(Options(max_queued_total=1_000_000))
        client.get()
        for number in range(12):
            client.transport.send(outgoing(f"{number} {'x' * 100_000}"))

        client.loop.run()
        assert client.session.closed == [CloseReason.TRANSPORT_ERROR]
        assert client.output.total == 0

    def test_one_whose_answer_waits_for_its_turn_is_not_given_up(self) -> None:
        client = Client()
        client.transport.send(outgoing("x" * 900_000))
        assert not client.transport.is_excused

        client.transport.answer_get(FakeExchange())
        assert client.transport.is_excused

    def test_heartbeats_that_wait_do_not_count(self) -> None:
        """A ping is one object for the process, and would always be the oldest message."""
        client = Client()
        large = outgoing("x" * LIGHT)
        client.transport.send_first(PING)
        client.transport.send(large)
        assert client.output.total == len(large.frames) + MESSAGE_COST + ENTRY_COST

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
        assert client.output.total == count * (size + MESSAGE_COST + ENTRY_COST)

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

    def test_not_so_while_its_handlers_wait_for_room(self) -> None:
        client = Client(Options(stall_timeout=10.0, high_water=50_000))
        client.transport.send(outgoing("x" * 100_000))
        assert not client.transport.ask_for_room()

        client.loop.advance(10.0)
        assert client.session.closed == [CloseReason.TRANSPORT_ERROR]

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
