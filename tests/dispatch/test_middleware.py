"""Middleware around events."""

from typing import Any

import pytest
from gevent.event import Event

from socketio_server.dispatch.middleware import EventCall
from socketio_server.events import Reject
from tests.dispatch.journal import EVERY_EVENT, Boom, Journal
from tests.fakes.hub import settle


class TestMiddleware:
    """What wraps every event, if the project has such."""

    def test_it_sees_each_event_and_its_arguments(self) -> None:
        calls: list[object] = []

        def middleware(call: EventCall) -> Any:
            calls.append((call.event, *call.args))
            return call.run()

        server = Journal(middleware=middleware)
        server.note(*EVERY_EVENT)
        server.registry.on("draw")(lambda *args: None)
        client = server.connect()
        client.emit("message", "hi")
        client.emit("draw", 1, 2)
        client.emit("__subscribe__", "room")

        assert calls == [
            ("on_connect",),
            ("on_message", "hi"),
            ("draw", 1, 2),
            ("on_subscribe", "room"),
        ]

    def test_it_may_answer_instead_of_the_handlers(self) -> None:
        server = Journal(middleware=lambda call: "mine")
        server.note("on_message")
        client = server.connect()
        client.emit("message", "hi", ack_id=1)

        assert server.entries == []
        assert client.received() == ['31["mine"]']

    def test_an_answer_of_its_own_that_can_not_be_encoded_is_logged_as_the_middleware_s(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = Journal(middleware=lambda call: object())
        server.registry.on("ask", channel="^other$")(lambda *args: None)
        server.connect().emit("ask", ack_id=1)

        assert "middleware returned a value that can't be sent" in caplog.text

    def test_it_may_change_the_arguments(self) -> None:
        def middleware(call: EventCall) -> Any:
            call.args = [str(arg).upper() for arg in call.args]
            return call.run()

        server = Journal(middleware=middleware)
        server.note("on_message")
        server.connect().emit("message", "hi")

        assert server.entries == [("on_message", "HI")]

    @pytest.mark.parametrize("answer", [False, "swallowed"])
    def test_it_can_not_let_in_by_mistake_whom_a_handler_refuses(self, answer: object) -> None:
        def middleware(call: EventCall) -> object:
            result = call.run()
            return result if answer is False else None

        server = Journal(middleware=middleware)
        server.registry.on_connect(lambda request, socket, context: False)
        client = server.open()
        client.send("0")

        assert client.received() == ['4{"message":"rejected"}']

    def test_what_it_raises_refuses(self) -> None:
        def middleware(call: EventCall) -> object:
            raise Boom

        server = Journal(middleware=middleware)
        server.note("on_error")
        client = server.open()
        client.send("0")

        assert client.received() == ['4{"message":"Internal error"}']
        assert server.errors == [Boom]

    def test_it_may_refuse(self) -> None:
        def middleware(call: EventCall) -> Any:
            raise Reject("not today")

        server = Journal(middleware=middleware)
        server.note("on_connect")
        client = server.open()
        client.send("0")

        assert client.received() == ['4{"message":"not today"}']

    @pytest.mark.parametrize(("accepts", "delivered"), [(True, ["hi"]), (False, [])])
    def test_nothing_from_a_channel_is_delivered_before_it_lets_a_client_on_it(
        self, accepts: bool, delivered: list[str]
    ) -> None:
        go_on = Event()

        def middleware(call: EventCall) -> Any:
            if call.event == "on_subscribe":
                go_on.wait()
                if not accepts:
                    raise Reject("no")
            return call.run()

        server = Journal(middleware=middleware)
        client, other = server.connect(), server.connect()
        client.emit("__subscribe__", "room")
        other.socket.broadcast_channel("hi", "room")
        assert client.received() == []

        go_on.set()
        settle()
        assert client.messages() == delivered

    @pytest.mark.parametrize(("answer", "received"), [(None, []), ("its own", ['31["its own"]'])])
    def test_where_a_handler_raised_nothing_but_its_own_answer_is_sent(
        self, answer: object, received: list[str]
    ) -> None:
        def middleware(call: EventCall) -> object:
            call.run()
            return answer

        server = Journal(middleware=middleware)

        @server.registry.on("ask")
        def ask(*args: object) -> None:
            raise Boom

        client = server.connect()
        client.emit("ask", ack_id=1)

        assert client.received() == received

    def test_where_a_handler_returned_nothing_an_empty_answer_is_sent(self) -> None:
        server = Journal(middleware=lambda call: call.run())
        server.registry.on("ask")(lambda *args: None)
        client = server.connect()
        client.emit("ask", ack_id=1)

        assert client.received() == ["31[]"]

    def test_what_it_raises_is_an_error_like_a_handler_s(self) -> None:
        def middleware(call: EventCall) -> Any:
            if call.event == "on_message":
                raise Boom
            return call.run()

        server = Journal(middleware=middleware)
        server.note("on_message", "on_error")
        client = server.connect()
        client.emit("message", "hi", ack_id=1)

        assert server.errors == [Boom]
        assert client.received() == []
        assert client.socket.connected()
