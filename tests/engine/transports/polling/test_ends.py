"""How polling ends: with the session, or because a WebSocket goes on."""

from collections.abc import Callable

import pytest

from socketio_server.engine.transports.exchange import BAD_REQUEST
from socketio_server.engine.transports.polling import PROBE_POLL_TIME, PollingTransport
from socketio_server.net.queued_output import LostBecause
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.http1.responses import Response
from tests.engine.transports.polling.client import Client
from tests.fakes.engine import outgoing


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

    def test_a_client_that_is_given_up_for_a_fault_of_ours_is_no_slow_one(
        self, client: Client
    ) -> None:
        client.transport.send(outgoing("never fetched"))
        client.transport.give_up(LostBecause.CLOSED)
        client.loop.run()

        assert client.session.closed == [CloseReason.TRANSPORT_ERROR]
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
    """The transport's part in it; the session's is in ``tests/engine/test_session_upgrade.py``."""

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
