"""The ends of sessions: of one, and of all when the server stops."""

import gc

import gevent
import pytest

from socketio_server.engine import engine as engine_module
from socketio_server.engine.heartbeat import Heartbeat
from socketio_server.engine.session import Session
from socketio_server.engine.transports.exchange import BAD_REQUEST, error_response
from socketio_server.engine.transports.polling import PollingTransport
from socketio_server.engine.transports.websocket import WebSocketTransport
from socketio_server.net.deadlines import TICK
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.protocol.http1.responses import Response
from socketio_server.protocol.websocket.frames import Close
from tests.engine.site import Site, request
from tests.fakes.engine import MOMENT, FakeExchange, RecordingSessionHandler, outgoing
from tests.fakes.hub import PATIENCE, settle


class Fault(Exception):
    """What a method of ours raises."""


def fail(*args: object, **options: object) -> None:
    """Raise, instead of a method of ours."""
    raise Fault


class TestTheEndOfASession:
    def test_it_is_forgotten(self, site: Site) -> None:
        client = site.open_websocket()
        client.close()
        site.loop.run()

        assert site.handlers[0].closed == [CloseReason.TRANSPORT_CLOSE]
        assert len(site.engine) == 0

    def test_a_polling_client_may_still_fetch_what_was_sent(self, site: Site) -> None:
        sid = site.open_polling()
        site.sessions[0].send(outgoing("last words"))
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)
        assert len(site.engine) == 0

        assert site.get(sid) == ["4last words"]
        assert site.get(sid) == ["1"]

    def test_a_polling_client_can_send_nothing_any_more(self, site: Site) -> None:
        sid = site.open_polling()
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)

        assert site.post(sid, b"4too late") == BAD_REQUEST
        assert site.handlers[0].messages == []

    @pytest.mark.parametrize(
        "reason",
        [
            CloseReason.TRANSPORT_CLOSE,
            CloseReason.TRANSPORT_ERROR,
            CloseReason.PING_TIMEOUT,
            CloseReason.PARSE_ERROR,
        ],
    )
    def test_where_the_client_is_at_fault_or_has_left_there_is_nothing_to_fetch(
        self, site: Site, reason: CloseReason
    ) -> None:
        sid = site.open_polling()
        site.sessions[0].send(outgoing("too late"))
        site.sessions[0].close(reason)
        site.loop.run()
        response = site.respond(request(transport="polling", sid=sid))

        assert response == error_response(ErrorCode.UNKNOWN_SESSION)

    @pytest.mark.parametrize(
        "reason",
        [
            CloseReason.FORCED_SERVER_CLOSE,
            CloseReason.TRANSPORT_CLOSE,
            CloseReason.PING_TIMEOUT,
            CloseReason.PARSE_ERROR,
        ],
    )
    def test_what_is_never_fetched_does_not_count_for_ever(
        self, site: Site, reason: CloseReason
    ) -> None:
        site.open_polling()
        site.sessions[0].send(outgoing("never fetched" * 1000))
        assert site.engine.output.total > 0
        site.sessions[0].close(reason)
        site.loop.advance(site.options.close_timeout)

        assert site.engine.output.total == 0
        site.loop.advance(1000.0)
        assert site.loop.timers == 0

    def test_once_the_goodbye_is_fetched_the_session_is_unknown(self, site: Site) -> None:
        sid = site.open_polling()
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)

        assert site.get(sid) == ["1"]
        response = site.respond(request(transport="polling", sid=sid))
        assert response == error_response(ErrorCode.UNKNOWN_SESSION)

    def test_a_client_that_closes_frees_its_own_get_with_a_noop(self, site: Site) -> None:
        sid = site.open_polling()
        poll = site.request(request(transport="polling", sid=sid))

        assert site.post(sid, b"1").status == 200
        assert poll.response == Response(200, b"6")
        response = site.respond(request(transport="polling", sid=sid))
        assert response == error_response(ErrorCode.UNKNOWN_SESSION)

    def test_a_client_that_closes_frees_its_get_of_the_same_moment_too(self, site: Site) -> None:
        sid = site.open_polling()
        post, poll = FakeExchange(), FakeExchange()
        for asked in (
            request("POST", transport="polling", sid=sid),
            request(transport="polling", sid=sid),
        ):
            found = site.engine.find_polled(asked)
            assert isinstance(found, PollingTransport)
            if asked.method == "POST":
                found.answer_post(b"1", "", post)
            else:
                found.answer_get(poll)
        site.loop.run()

        assert post.status == 200
        assert poll.packets == ["6"]

    def test_one_with_much_to_fetch_has_time_for_each_get(self, site: Site) -> None:
        sid = site.open_polling()
        words = [letter * site.options.max_payload for letter in "abc"]
        for word in words:
            site.sessions[0].send(outgoing(word))
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)
        for packet in [*(f"4{word}" for word in words), "1"]:
            site.loop.advance(0.9 * site.options.close_timeout)
            assert site.get(sid) == [packet]

    def test_the_time_for_the_next_get_begins_when_an_answer_was_read(self, site: Site) -> None:
        sid = read_last_words_slowly(site)

        assert site.get(sid) == ["1"]

    def test_one_that_read_an_answer_slowly_and_asks_for_no_more_is_forgotten(
        self, site: Site
    ) -> None:
        sid = read_last_words_slowly(site)
        site.loop.advance(2 * site.options.close_timeout)

        assert site.respond(request(transport="polling", sid=sid)) == error_response(
            ErrorCode.UNKNOWN_SESSION
        )

    def test_a_polling_client_may_fetch_what_was_sent_only_for_a_while(self) -> None:
        site = Site(close_timeout=MOMENT)
        sid = site.open_polling()
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)
        site.loop.advance(TICK)
        response = site.respond(request(transport="polling", sid=sid))

        assert response == error_response(ErrorCode.UNKNOWN_SESSION)
        site.close()

    def test_where_nothing_is_left_it_is_forgotten_at_once(self, site: Site) -> None:
        sid = site.open_polling()
        poll = site.request(request(transport="polling", sid=sid))
        site.post(sid, b"nonsense")
        assert poll.response == Response(200, b"1")
        site.loop.advance(site.options.close_timeout)

        assert len(site.engine) == 0

    @pytest.mark.parametrize("when", ["at once", "during a probe", "after an upgrade"])
    def test_nothing_of_it_is_kept(self, site: Site, when: str) -> None:
        sid = site.open_polling()
        session = site.sessions.pop()
        if when != "at once":
            client = site.probe(session)
            client.send("2probe")
            site.loop.run()
        if when == "after an upgrade":
            client.send("5")
            site.loop.run()
        session.close(CloseReason.FORCED_SERVER_CLOSE)
        del session
        site.loop.advance(site.options.close_timeout)
        gc.collect()

        kept = [thing for thing in gc.get_objects() if isinstance(thing, Session)]
        assert sid not in [session.sid for session in kept]

    def test_a_bad_packet_ends_its_sender_s_session_and_no_other(self, site: Site) -> None:
        bad, good = site.open_polling(), site.open_polling()
        assert site.post(bad, b"nonsense") == BAD_REQUEST

        assert site.handlers[0].closed == [CloseReason.PARSE_ERROR]
        assert site.post(good, b"4hello").status == 200
        assert site.handlers[1].closed == []


class TestAfterAFault:
    """A method of ours raises once; what raises is told to the caller, and nothing is left."""

    @pytest.mark.parametrize(
        ("owner", "method"),
        [
            (engine_module, "PollingTransport"),
            (engine_module, "encode_opening"),
            (Heartbeat, "add"),
            (RecordingSessionHandler, "__init__"),
            (RecordingSessionHandler, "session_started"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_session_that_could_not_begin_is_forgotten(
        self, monkeypatch: pytest.MonkeyPatch, owner: object, method: str
    ) -> None:
        site = Site()
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, fail)
            with pytest.raises(Fault):
                site.open_polling()
        assert len(site.engine) == 0
        site.close()

    def test_a_session_that_ended_as_it_began_is_forgotten_once(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def end_and_fail(handler: RecordingSessionHandler) -> None:
            site.sessions[-1].close(CloseReason.FORCED_CLOSE)
            raise Fault

        monkeypatch.setattr(RecordingSessionHandler, "session_started", end_and_fail)
        with pytest.raises(Fault):
            site.open_polling()
        assert len(site.engine) == 0

    def test_the_last_handlers_run_though_a_probe_could_not_be_closed(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site.open_polling()
        site.probe(site.sessions[0])
        with monkeypatch.context() as patch:
            patch.setattr(WebSocketTransport, "close", fail)
            with pytest.raises(Fault):
                site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)
        assert site.handlers[0].closed == [CloseReason.FORCED_SERVER_CLOSE]
        assert len(site.engine) == 0


class TestShutdown:
    def test_everybody_is_told(self, site: Site) -> None:
        sid = site.open_polling()
        client = site.open_websocket()
        client.received()
        assert not site.engine.draining
        gevent.spawn(site.engine.drain, gevent.sleep)
        settle()

        assert site.engine.draining
        assert [handler.closed for handler in site.handlers] == [
            [CloseReason.SERVER_SHUTTING_DOWN],
            [CloseReason.SERVER_SHUTTING_DOWN],
        ]
        assert client.received() == [Close(1001, "")]
        assert site.get(sid) == ["1"]
        assert len(site.engine) == 0

    def test_it_works_with_more_clients_than_are_told_in_one_go(self, site: Site) -> None:
        for _ in range(35):
            site.open_polling()
        gevent.spawn(site.engine.drain, gevent.sleep, 0.01).get(timeout=PATIENCE)

        assert all(h.closed == [CloseReason.SERVER_SHUTTING_DOWN] for h in site.handlers)
        assert len(site.engine) == 0

    def test_goodbyes_are_spread_so_that_not_all_come_back_at_once(self, site: Site) -> None:
        for _ in range(35):
            site.open_polling()
        greenlet = gevent.spawn(site.engine.drain, gevent.sleep, 2 * PATIENCE)
        settle()

        assert len(site.engine) == 25
        greenlet.kill()

    def test_nobody_is_asked_for_a_heartbeat_any_more(self, impatient: Site) -> None:
        client = impatient.open_websocket()
        client.received()
        gevent.spawn(impatient.engine.drain, gevent.sleep)
        settle()
        impatient.loop.advance(TICK)

        assert client.received() == [Close(1001, "")]

    def test_no_timer_outlives_the_goodbyes(self) -> None:
        site = Site(allow_eio3=True, upgrade_timeout=100.0)
        site.open_polling()
        site.engine.open_polling(request(EIO="3", transport="polling"), "request", None)
        site.probe(site.sessions[0])
        site.engine.drain(gevent.sleep)
        site.loop.advance(2 * site.options.close_timeout)

        assert site.loop.timers == 0
        site.close()

    def test_a_session_whose_handshake_was_under_way_gets_its_goodbye_with_the_opening(
        self, site: Site
    ) -> None:
        site.engine.drain(gevent.sleep)
        client = site.open_websocket()
        site.open_polling()

        assert [handler.closed for handler in site.handlers] == [
            [CloseReason.SERVER_SHUTTING_DOWN],
            [CloseReason.SERVER_SHUTTING_DOWN],
        ]
        opening, goodbye = client.received()
        assert str(opening).startswith("0{")
        assert goodbye == Close(1001, "")
        assert len(site.engine) == 0

    def test_without_clients_it_is_done_at_once(self, site: Site) -> None:
        site.engine.drain(gevent.sleep)
        assert site.engine.draining
        assert site.engine.is_drained

    def test_it_is_done_when_each_websocket_has_answered_its_goodbye(self, site: Site) -> None:
        client = site.open_websocket()
        site.engine.drain(gevent.sleep)
        assert not site.engine.is_drained

        client.close(1001)
        site.loop.run()
        assert site.engine.is_drained

    def test_it_is_done_when_each_polling_client_has_fetched_its_goodbye(self, site: Site) -> None:
        sid = site.open_polling()
        site.engine.drain(gevent.sleep)
        assert not site.engine.is_drained

        assert site.get(sid) == ["1"]
        assert site.engine.is_drained

    def test_it_is_done_when_each_message_is_sent(self, site: Site) -> None:
        client = site.open_websocket()
        site.sessions[0].send(outgoing("x" * 2_000_000))
        site.engine.drain(gevent.sleep)
        site.loop.advance(2 * site.options.close_timeout)
        assert not site.engine.is_drained

        while Close(1001, "") not in client.received():
            site.loop.run()
        client.close(1001)
        site.loop.run()
        assert site.engine.is_drained

    def test_clients_that_do_not_answer_are_not_waited_for(self, site: Site) -> None:
        site.open_websocket()
        site.open_polling()
        site.engine.drain(gevent.sleep)
        site.loop.advance(site.options.close_timeout)

        assert site.engine.is_drained


def read_last_words_slowly(site: Site) -> str:
    """Let a polling client take longer than it has for a GET to read the last messages of its
    session; return its ``sid``.
    """
    sid = site.open_polling()
    site.sessions[0].send(outgoing("last words"))
    site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)
    exchange = FakeExchange()
    exchange.is_slow = True
    found = site.engine.find_polled(request(transport="polling", sid=sid))
    assert isinstance(found, PollingTransport)
    found.answer_get(exchange)
    site.loop.advance(2 * site.options.close_timeout)
    exchange.is_slow = False
    return sid
