"""The last events of a client: each runs once, whatever happens."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.event import Event
from greenlet import GreenletExit

from socketio_server.events import Reject
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.registry.events import Registration
from socketio_server.sockets.socket import Socket
from tests.dispatch.journal import Boom, Context, Journal
from tests.fakes.hub import PATIENCE, settle
from tests.fakes.server import FakeClient, RecordingHooks

KICK = "thrown out"

ENDS: list[Any] = [
    pytest.param(lambda client: client.send("1"), "client namespace disconnect", id="it leaves"),
    pytest.param(lambda client: client.send("noise"), "parse error", id="it talks nonsense"),
    pytest.param(lambda client: client.socket.disconnect(), "server namespace disconnect", id=KICK),
    *(
        pytest.param(lambda client, reason=reason: client.leave(reason), reason.value, id=reason)
        for reason in (
            CloseReason.TRANSPORT_CLOSE,
            CloseReason.TRANSPORT_ERROR,
            CloseReason.PING_TIMEOUT,
            CloseReason.FORCED_CLOSE,
            CloseReason.SERVER_SHUTTING_DOWN,
        )
    ),
]


class TestTheEnd:
    @pytest.mark.parametrize(("end", "reason"), ENDS)
    def test_each_of_the_last_events_runs_once_in_order(
        self, server: Journal, end: Callable[[FakeClient], None], reason: str
    ) -> None:
        # No pattern: for sockets on no channel only, and so each event needs one here.
        server.note("on_disconnect", "on_unsubscribe", "on_finish", channel=".*")
        client = server.connect(channels=["b", "a"])
        socket = client.socket
        end(client)
        settle()
        client.leave()

        assert server.entries == [
            "on_disconnect",
            ("on_unsubscribe", "b"),
            ("on_unsubscribe", "a"),
            "on_finish",
        ]
        assert socket.close_reason == reason

    def test_all_of_them_see_the_channels_as_they_were_and_why_it_ended(
        self, server: Journal
    ) -> None:
        def note(request: object, socket: Socket, context: Context, *args: object) -> None:
            on_room = server.clients.channels["room"] == [socket.session.session_id]
            server.entries.append(
                (tuple(socket.channels), on_room, socket.close_reason, socket.connected())
            )

        for event in (server.registry.on_disconnect, server.registry.on_finish):
            event(channel=".*")(note)
        server.registry.on_unsubscribe(note)
        client = server.connect(channels=["room"])
        client.leave(CloseReason.PING_TIMEOUT)

        assert server.entries == [(("room",), True, "ping timeout", False)] * 3

    def test_only_then_is_the_socket_forgotten(self, server: Journal) -> None:
        @server.registry.on_finish(channel=".*")
        def finish(request: object, socket: Socket, context: Context) -> None:
            server.entries.append(socket.session.session_id in server.clients)

        client = server.connect(channels=["room"])
        socket = client.socket
        client.leave()

        assert server.entries == [True]
        assert not socket.channels
        assert len(server.clients) == 0
        assert len(server.clients.channels) == 0

    @pytest.mark.parametrize(("end", "reason"), [end for end in ENDS if end.id != KICK])
    def test_what_the_client_sent_before_is_handled_first(
        self, server: Journal, end: Callable[[FakeClient], None], reason: str
    ) -> None:
        go_on = Event()
        server.note("on_disconnect")

        @server.registry.on_message
        def message(request: object, socket: Socket, context: Context, message: str) -> None:
            go_on.wait()
            server.entries.append((message, socket.connected()))

        client = server.connect()
        client.send('2["message","one"]', '2["message","two"]')
        end(client)
        go_on.set()
        settle()

        assert server.entries == [("one", False), ("two", False), "on_disconnect"]

    @pytest.mark.parametrize("close", [False, True])
    def test_what_a_client_sent_before_it_was_thrown_out_is_dropped(
        self, server: Journal, close: bool
    ) -> None:
        """As Node's server does it."""
        server.note("on_message", "on_subscribe", "on_disconnect")

        @server.registry.on("kick")
        def kick(request: object, socket: Socket, context: Context) -> None:
            socket.disconnect(close=close)

        client = server.connect()
        router = client.router
        late = '2["message","too late"]', '2["__subscribe__","room"]', f'2["x","{"x" * 50_000}"]'
        client.send('2["kick"]', *late)
        settle()

        assert server.entries == ["on_disconnect"]
        assert router.waiting_bytes == router.counted == 0

    @pytest.mark.parametrize("close", [False, True])
    def test_what_a_client_sent_before_it_was_thrown_out_by_others_is_dropped_at_once(
        self, server: Journal, close: bool
    ) -> None:
        go_on = Event()
        server.registry.on("wait")(lambda *args: go_on.wait() and None)
        server.note("on_message", "on_disconnect")
        client = server.connect()
        client.emit("wait")
        client.emit("message", "x" * 50_000)
        assert server.dispatcher.total.bytes > 50_000
        client.socket.disconnect(close=close)
        assert server.dispatcher.total.bytes == 0

        go_on.set()
        settle()
        assert server.entries == ["on_disconnect"]

    def test_what_a_client_sent_before_a_socket_that_had_ended_threw_it_out_is_dropped(
        self, server: Journal
    ) -> None:
        go_on = Event()
        server.registry.on("wait")(lambda *args: go_on.wait() and None)
        server.registry.on_connect(lambda *args: None, namespace="/left")
        server.note("on_message", "on_disconnect")
        client = server.connect()
        client.send("0/left,")
        left = next(s for _, s, _ in server.clients.values() if s.namespace == "/left")
        client.send("1/left,", '2["wait"]', '2["message","too late"]')
        left.disconnect(close=True)
        go_on.set()
        settle()

        assert client.closed == [CloseReason.FORCED_SERVER_CLOSE]
        assert server.entries == ["on_disconnect"]

    def test_handlers_by_the_channels_held(self, server: Journal) -> None:
        registry = server.registry
        for event in (registry.on_disconnect, registry.on_finish):
            event(lambda *args: server.entries.append("plain"))
            event(channel="^room-")(lambda *args: server.entries.append("room"))
        server.connect().leave()
        server.connect(channels=["room-1"]).leave()
        server.connect(channels=["other"]).leave()

        assert server.entries == [*["plain"] * 2, *["plain", "room"] * 2, *["plain"] * 2]

    def test_what_handlers_send_to_the_client_then_is_dropped(self, server: Journal) -> None:
        @server.registry.on_disconnect
        def disconnect(request: object, socket: Socket, context: Context) -> None:
            socket.send("goodbye")
            socket.broadcast("it has gone")

        leaving, other = server.connect(), server.connect()
        leaving.send("1")

        assert leaving.received() == []
        assert other.messages() == ["it has gone"]

    def test_others_do_not_reach_it_any_more(self, server: Journal) -> None:
        go_on = Event()

        @server.registry.on_disconnect
        def disconnect(*args: object) -> None:
            go_on.wait()

        leaving, other = server.connect(), server.connect()
        leaving.send("1")
        other.socket.broadcast("hi")
        go_on.set()
        settle()

        assert leaving.received() == []

    @pytest.mark.parametrize(
        "error",
        [
            Boom,
            Reject,
            PermissionError,
            gevent.Timeout,
            SystemExit,
            GreenletExit,
            asyncio.CancelledError,
        ],
    )
    @pytest.mark.parametrize("where", ["on_disconnect", "on_unsubscribe", "on_finish"])
    def test_whatever_one_of_them_raises_the_others_and_the_clean_up_run(
        self, server: Journal, where: str, error: type[BaseException]
    ) -> None:
        @getattr(server.registry, where)(channel=".*")  # type: ignore[untyped-decorator]
        def handler(*args: object) -> None:
            raise error()

        server.note("on_disconnect", "on_unsubscribe", "on_finish", channel=".*")
        server.connect(channels=["room"]).leave()

        assert server.entries == ["on_disconnect", ("on_unsubscribe", "room"), "on_finish"]
        assert len(server.clients) == 0
        assert len(server.clients.channels) == 0

    @pytest.mark.parametrize("where", ["on_disconnect", "on_unsubscribe", "on_finish"])
    def test_a_pattern_that_raises_is_logged_and_keeps_nothing_from_running(
        self, server: Journal, where: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        pattern: Any = re.compile(b"room")  # can't match text
        registration = Registration(lambda *args: None, pattern, "/", ())
        getattr(server.registry, where).registrations.append(registration)
        server.note(*({"on_disconnect", "on_unsubscribe", "on_finish"} - {where}))
        client = server.connect(channels=["room"])
        socket_id = client.id
        client.leave()

        assert f"Internal error in {where} of socket {socket_id}" in caplog.text
        assert len(server.entries) == 2
        assert len(server.clients) == 0
        assert len(server.clients.channels) == 0
        assert server.dispatcher.wait_until_idle(0)

    def test_a_timeout_of_those_who_are_told_of_it_forgets_the_socket_all_the_same(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        hooks = RecordingHooks()
        server = Journal(hooks=hooks)
        client = server.connect(channels=["room"])

        def tell(*args: object, **details: object) -> None:
            raise gevent.Timeout(1)

        hooks.tell = tell  # type: ignore[method-assign]
        client.leave()

        assert f"Internal error while handling an event of socket {client.id}" in caplog.text
        assert len(server.clients) == 0
        assert server.dispatcher.wait_until_idle(0)

    def test_what_fails_before_the_handlers_is_logged_and_forgets_the_socket_all_the_same(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        hooks = RecordingHooks()
        hooks.captured = "a language"
        server = Journal(hooks=hooks)
        client = server.connect(channels=["room"])

        def restore(captured: object) -> None:
            raise Boom

        hooks.restore = restore  # type: ignore[method-assign]
        socket_id = client.id
        client.leave()

        assert f"Internal error while handling an event of socket {socket_id}" in caplog.text
        assert len(server.clients) == 0
        assert server.dispatcher.wait_until_idle(0)


class TestWaitingUntilIdle:
    """What a shutdown waits for."""

    def test_without_clients_is_over_at_once(self, server: Journal) -> None:
        assert server.dispatcher.wait_until_idle(PATIENCE)

    def test_lasts_until_the_last_handlers_have_run(self, server: Journal) -> None:
        go_on = Event()

        @server.registry.on_finish
        def finish(*args: object) -> None:
            go_on.wait()

        clients = [server.connect(), server.connect()]
        waiter = gevent.spawn(server.dispatcher.wait_until_idle, PATIENCE)
        for client in clients:
            client.leave()
        assert not waiter.ready()

        go_on.set()
        assert waiter.get(timeout=PATIENCE) is True

    def test_ends_when_its_time_is_over(self, server: Journal) -> None:
        server.connect()

        assert server.dispatcher.wait_until_idle(0.001) is False

    def test_those_who_were_refused_are_not_waited_for(self, server: Journal) -> None:
        @server.registry.on_connect
        def connect(*args: object) -> None:
            raise Reject("no")

        server.open().send("0")

        assert server.dispatcher.wait_until_idle(PATIENCE)
