"""Heartbeats of sessions over both transports, in both directions."""

from collections.abc import Iterator

import pytest

from socketio_server.net.deadlines import TICK
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.http1.responses import Response
from socketio_server.protocol.websocket.frames import Close
from tests.engine.site import Site, request
from tests.fakes.engine import outgoing


class TestHeartbeats:
    @pytest.fixture
    def site(self) -> Iterator[Site]:
        made = Site(ping_interval=25.0, ping_timeout=20.0, stall_timeout=60.0, max_lag=200.0)
        yield made
        made.close()

    def test_a_client_that_takes_what_waits_for_it_is_not_given_up(self, site: Site) -> None:
        """Its pong can't come before it has read what was sent before the ping."""
        client = site.open_websocket()
        site.sessions[0].send(outgoing("x" * 2_000_000))
        site.loop.advance(50.0)
        assert site.handlers[0].closed == []

        received: list[object] = []
        while "2" not in received:
            site.loop.run()
            received += client.received()
        client.send("3")
        site.loop.advance(20.0)
        assert site.handlers[0].closed == []

    def test_a_client_that_is_not_read_from_is_not_given_up(self, site: Site) -> None:
        site.open_websocket()
        site.sessions[0].pause_reading()
        site.loop.advance(200.0)
        assert site.handlers[0].closed == []

        site.sessions[0].resume_reading()
        site.loop.advance(45.0)
        assert site.handlers[0].closed == [CloseReason.PING_TIMEOUT]


class TestHeartbeat:
    def test_a_client_is_asked_after_the_interval(self, impatient: Site) -> None:
        sid = impatient.open_polling()
        poll = impatient.request(request(transport="polling", sid=sid))
        impatient.loop.advance(TICK)

        assert poll.response == Response(200, b"2")

    def test_one_that_answers_is_asked_again(self, impatient: Site) -> None:
        client = impatient.open_websocket()
        client.received()
        for _ in range(3):
            impatient.loop.advance(TICK)
            assert client.received() == ["2"]
            client.send("3")
            impatient.loop.run()

        assert impatient.handlers[0].closed == []

    def test_one_that_does_not_is_closed(self, impatient: Site) -> None:
        client = impatient.open_websocket()
        client.received()
        impatient.loop.advance(TICK)
        assert impatient.handlers[0].closed == []

        impatient.loop.advance(TICK)
        assert impatient.handlers[0].closed == [CloseReason.PING_TIMEOUT]
        assert client.received() == ["2", Close(1000, "")]

    def test_one_that_is_not_being_read_from_is_given_another_chance(self, impatient: Site) -> None:
        client = impatient.open_websocket()
        impatient.sessions[0].pause_reading()
        for _ in range(5):
            impatient.loop.advance(TICK)
        assert impatient.handlers[0].closed == []

        impatient.sessions[0].resume_reading()
        client.send("3")
        impatient.loop.run()
        assert impatient.handlers[0].closed == []

    def test_one_that_has_gone_is_asked_no_more(self, impatient: Site) -> None:
        client = impatient.open_websocket()
        client.close()
        impatient.loop.run()
        impatient.loop.advance(1.0)

        assert impatient.handlers[0].closed == [CloseReason.TRANSPORT_CLOSE]
        assert impatient.stats.refusals.counts == {}
