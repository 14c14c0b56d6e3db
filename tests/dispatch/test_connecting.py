"""``on_connect``: when it runs, and how it refuses a client."""

import gevent
import pytest
from gevent.event import Event
from greenlet import GreenletExit

from socketio_server.events import Reject, ValidationError
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.socket import Socket
from tests.dispatch.journal import EVERY_EVENT, Boom, Context, Journal
from tests.fakes.engine import receive
from tests.fakes.hub import settle


class TestConnect:
    def test_it_runs_once_before_the_client_is_answered(self, server: Journal) -> None:
        go_on = Event()

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            server.entries.append("on_connect")
            go_on.wait()

        client = server.open()
        client.send("0")
        assert client.received() == []

        go_on.set()
        settle()
        assert client.received() == [f'0{{"sid":"{client.id}"}}']
        assert server.entries == ["on_connect"]

    def test_handlers_get_request_socket_and_context(self, server: Journal) -> None:
        got: list[object] = []
        server.registry.on_connect(lambda *args: got.extend(args))
        request = object()
        client = server.connect(request=request)

        assert got == [request, client.socket, {}]

    def test_the_context_is_one_dict_from_connect_to_finish(self, server: Journal) -> None:
        contexts: list[Context] = []
        for name in EVERY_EVENT:

            @getattr(server.registry, name)  # type: ignore[untyped-decorator]
            def handler(request: object, socket: Socket, context: Context, *args: object) -> None:
                context["count"] = context.get("count", 0) + 1
                contexts.append(context)

        client = server.connect()
        client.emit("message", "hi")
        client.emit("__subscribe__", "room")
        client.emit("__unsubscribe__", "room")
        client.leave()

        assert type(contexts[0]) is dict
        assert all(context is contexts[0] for context in contexts)
        assert contexts[0]["count"] == 6

    def test_two_clients_have_two_contexts(self, server: Journal) -> None:
        a, b = server.connect(), server.connect()

        assert a.socket.context is not b.socket.context

    def test_what_handlers_send_comes_after_the_answer(self, server: Journal) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            socket.send("one")
            gevent.sleep(0)
            socket.emit("two")

        client = server.open()
        client.send("0")

        assert client.received() == [
            f'0{{"sid":"{client.id}"}}',
            '2["message","one"]',
            '2["two"]',
        ]

    def test_what_others_broadcast_meanwhile_comes_after_the_answer(self, server: Journal) -> None:
        go_on = Event()
        other = server.connect()

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            go_on.wait()

        client = server.open()
        client.send("0")
        other.socket.broadcast("hi")
        assert client.received() == []

        go_on.set()
        settle()
        assert client.received() == [f'0{{"sid":"{client.id}"}}', '2["message","hi"]']

    def test_what_the_client_sends_meanwhile_waits(self, server: Journal) -> None:
        go_on = Event()
        server.note("on_message")

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            go_on.wait()
            server.entries.append("connected")

        client = server.open()
        client.send("0", '2["message","hi"]')
        assert server.entries == []

        go_on.set()
        settle()
        assert server.entries == ["connected", ("on_message", "hi")]

    def test_handlers_may_subscribe_their_socket(self, server: Journal) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            socket.subscribe("lobby")

        client = server.connect()

        assert server.clients.channels["lobby"] == [client.id]

    def test_a_client_that_goes_meanwhile_is_disconnected_after_it(self, server: Journal) -> None:
        go_on = Event()
        server.note("on_disconnect", "on_finish")

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            go_on.wait()
            server.entries.append("connected")

        client = server.open()
        client.send("0")
        client.leave()
        assert server.entries == []

        go_on.set()
        settle()
        assert server.entries == ["connected", "on_disconnect", "on_finish"]
        assert len(server.clients) == 0


class TestRefusingAClient:
    @pytest.mark.parametrize(
        ("refusal", "error"),
        [
            (Reject("members only"), '{"message":"members only"}'),
            (Reject("no", {"code": 7}), '{"message":"no","data":{"code":7}}'),
            (Reject(), '{"message":"rejected"}'),
            (PermissionError("not you"), '{"message":"not you"}'),
            (PermissionError(), '{"message":"Permission denied"}'),
        ],
    )
    def test_it_is_told_why(self, server: Journal, refusal: Exception, error: str) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            raise refusal

        client = server.open()
        client.send("0")

        assert client.received() == [f"4{error}"]
        assert client.closed == []

    @pytest.mark.parametrize("error", [Boom, SystemExit, GreenletExit, ValidationError])
    def test_an_error_refuses_as_well_and_the_client_learns_nothing_of_it(
        self, server: Journal, error: type[BaseException], caplog: pytest.LogCaptureFixture
    ) -> None:
        """A check whose database fails must not let the client in."""
        server.note("on_error", "on_disconnect", "on_finish")

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            raise error("the password is 123")

        @server.registry.on_connect
        def second(request: object, socket: Socket, context: Context) -> None:
            server.entries.append("the next handler")

        client = server.open()
        client.send("0")

        assert client.received() == ['4{"message":"Internal error"}']
        assert [type(entry[1]) for entry in server.entries if isinstance(entry, tuple)] == [error]
        assert len(server.entries) == 1
        assert len(server.clients) == 0
        assert "on_connect" in caplog.text or client.refusals

    def test_a_handler_that_returns_false_refuses(
        self, server: Journal, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As in python-socketio; also where another handler returned something before it."""
        server.registry.on_connect(lambda request, socket, context: True)
        server.registry.on_connect(lambda request, socket, context: False)
        server.note("on_error")
        client = server.open()
        client.send("0")

        assert client.received() == ['4{"message":"rejected"}']
        assert server.entries == []
        assert caplog.text == ""

    @pytest.mark.parametrize("result", [None, True, 0, "", []])
    def test_whatever_else_a_handler_returns_does_not(
        self, server: Journal, result: object
    ) -> None:
        server.registry.on_connect(lambda request, socket, context: result)

        assert server.connect().socket.connected()

    def test_a_result_that_can_not_be_meant_refuses_and_is_logged(
        self, server: Journal, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Django's login_required on a handler returns an answer to a request."""
        server.note("on_error")

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> str:
            return "a mistake"

        client = server.open()
        client.send("0")

        assert client.received() == ['4{"message":"rejected"}']
        assert server.errors == [TypeError]
        assert "connect` (" in caplog.text
        assert f"{__file__}:" in caplog.text
        assert "returned a mistake" in caplog.text

    def test_no_other_event_runs_for_it(self, server: Journal) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            raise Reject("no")

        server.note(*EVERY_EVENT)
        client = server.open()
        client.send("0")
        client.leave()

        assert server.entries == []

    def test_what_it_sent_already_reaches_nobody(self, server: Journal) -> None:
        go_on = Event()

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            go_on.wait()
            raise Reject("no")

        server.note("on_message", "on_subscribe")
        client = server.open()
        client.send("0", '2["message","hi"]', '2["__subscribe__","room"]')
        go_on.set()
        settle()

        assert server.entries == []
        assert client.received() == ['4{"message":"no"}']

    def test_nothing_that_was_sent_to_it_arrives(self, server: Journal) -> None:
        other = server.connect()

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            socket.send("secret")
            other.socket.broadcast("secret, too")
            raise Reject("no")

        client = server.open()
        client.send("0")

        assert client.received() == ['4{"message":"no"}']

    def test_its_session_ends_if_a_handler_ended_it_before(self, server: Journal) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            socket.disconnect(close=True)
            raise Reject("no")

        client = server.open()
        client.send("0")

        assert client.closed == [CloseReason.FORCED_SERVER_CLOSE]

    def test_it_leaves_nothing_behind(self, server: Journal) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            socket.subscribe("room")
            raise Reject("no")

        server.open().send("0")

        assert len(server.clients) == 0
        assert len(server.clients.channels) == 0

    def test_it_may_try_again(self, server: Journal) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            if not socket.auth:
                raise Reject("no")

        client = server.open()
        client.send("0")
        client.send('0{"token":"abc"}')

        assert client.socket.connected()

    @pytest.mark.parametrize("data", [object(), b"bytes"], ids=["no JSON", "bytes"])
    def test_data_that_can_not_be_sent_is_an_error_and_the_client_is_refused_all_the_same(
        self, server: Journal, data: object
    ) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: Context) -> None:
            raise Reject("no", data)

        client = server.open()
        client.send("0")

        assert [packet[:16] for packet in client.received()] == ['4{"message":"no"']
        assert len(server.clients) == 0


class TestAClientThatIsSentAwayBeforeItsOnConnectRuns:
    def test_hears_of_no_end_of_a_namespace_before_it_has_joined_it(self, server: Journal) -> None:
        server.registry.on_message(namespace="/other")(lambda *args: None)
        client = server.connect()
        receive(client.session, "0/other,")
        client.socket.disconnect(close=True)
        settle()

        left, joined, left_too = client.received()
        assert (left, left_too) == ("1", "1/other,")
        assert joined.startswith("0/other,")
        assert client.closed == [CloseReason.FORCED_SERVER_CLOSE]
