"""From packets to handlers: which run, in which order, and what happens when one raises.

Semantics, section 1. The handlers run in real workers; clients speak packets as text.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
import pytest
from gevent.event import Event
from greenlet import GreenletExit, getcurrent, greenlet

from socketio_server.dispatch.middleware import EventCall
from socketio_server.events import Reject, ValidationError
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.registry.events import Registration
from socketio_server.sockets.socket import Socket
from tests.fakes import PATIENCE, FakeClient, FakeServer, RecordingHooks, settle

Context = dict[str, Any]


class Boom(Exception):
    """What handlers raise here."""


class Journal(FakeServer):
    """A server whose handlers write down what happens."""

    def __init__(self, options: Options | None = None, **kwargs: Any) -> None:
        super().__init__(options, **kwargs)
        self.entries: list[object] = []

    @property
    def errors(self) -> list[type]:
        """The types of what ``on_error`` got, where it is noted."""
        return [
            type(entry[1])
            for entry in self.entries
            if isinstance(entry, tuple) and entry[0] == "on_error"
        ]

    def note(self, *events: str, **registration: Any) -> None:
        """Have events noted: their names, and what their handlers got besides the usual three."""
        for name in events:

            def handler(
                request: object, socket: Socket, context: Context, *args: object, name: str = name
            ) -> None:
                self.entries.append((name, *args) if args else name)

            getattr(self.registry, name)(**registration)(handler)


@pytest.fixture
def server() -> Journal:
    return Journal()


EVERY_EVENT = [
    "on_connect",
    "on_subscribe",
    "on_message",
    "on_unsubscribe",
    "on_error",
    "on_disconnect",
    "on_finish",
]


# --- Connecting -------------------------------------------------------------------------------


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
        assert "test_dispatcher.py:" in caplog.text
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


# --- Messages ---------------------------------------------------------------------------------


class TestMessages:
    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["hi"], "hi"),
            ([{"a": [1]}], {"a": [1]}),
            ([None], None),
            ([[1, 2]], [1, 2]),
            ([1, "two"], [1, "two"]),  # several arguments arrive as a list
            ([], None),
        ],
    )
    def test_handlers_get_what_was_sent(
        self, server: Journal, args: list[object], message: object
    ) -> None:
        server.note("on_message")
        server.connect().emit("message", *args)

        assert server.entries == [("on_message", message)]

    def test_those_without_a_pattern_run_on_no_channel_those_with_one_on_a_matching_one(
        self, server: Journal
    ) -> None:
        registry = server.registry
        registry.on_message(lambda *args: server.entries.append("plain"))
        registry.on_message(channel="^room-")(lambda *args: server.entries.append("room"))
        client = server.connect()
        client.emit("message", 1)
        client.socket.subscribe("room-1")
        client.socket.subscribe("room-2")
        client.emit("message", 2)
        client.socket.unsubscribe("room-1")
        client.socket.unsubscribe("room-2")
        client.socket.subscribe("other")
        client.emit("message", 3)
        client.socket.unsubscribe("other")
        client.emit("message", 4)

        assert server.entries == ["plain", "room", "plain"]

    def test_handlers_run_in_the_order_of_their_registration(self, server: Journal) -> None:
        for name in "abc":
            server.registry.on_message(lambda *args, name=name: server.entries.append(name))
        server.connect().emit("message", "hi")

        assert server.entries == ["a", "b", "c"]

    def test_an_event_without_handlers_is_harmless(self, server: Journal) -> None:
        client = server.connect()
        client.emit("message", "hi")
        client.emit("unknown", 1, 2, 3)
        client.emit("__proto__")

        assert client.received() == []
        assert client.closed == []


class TestOrder:
    def test_events_of_one_socket_run_strictly_one_after_another(self, server: Journal) -> None:
        go_on = Event()

        @server.registry.on_message
        def message(request: object, socket: Socket, context: Context, message: int) -> None:
            server.entries.append(("begin", message))
            if message == 0:
                go_on.wait()
            gevent.sleep(0)
            server.entries.append(("end", message))

        client = server.connect()
        client.send(*(f'2["message",{i}]' for i in range(3)))
        assert server.entries == [("begin", 0)]

        go_on.set()
        settle()
        assert server.entries == [(when, i) for i in range(3) for when in ("begin", "end")]

    def test_events_of_different_sockets_run_side_by_side(self, server: Journal) -> None:
        go_on = Event()

        @server.registry.on_message
        def message(request: object, socket: Socket, context: Context, message: str) -> None:
            if message == "slow":
                go_on.wait()
            socket.send(f"done {message}")

        slow, quick = server.connect(), server.connect()
        slow.emit("message", "slow")
        quick.emit("message", "quick")
        assert (slow.messages(), quick.messages()) == ([], ["done quick"])

        go_on.set()
        settle()
        assert slow.messages() == ["done slow"]


class TestAcknowledgements:
    @pytest.mark.parametrize("name", ["message", "question"])
    @pytest.mark.parametrize(
        ("answer", "json"),
        [
            (None, "[]"),
            ("yes", '["yes"]'),
            (0, "[0]"),
            (False, "[false]"),
            ([1, 2], "[[1,2]]"),
            ((1, 2), "[1,2]"),  # a tuple: several values
            ((), "[]"),
            ({"a": None}, '[{"a":null}]'),
        ],
    )
    def test_what_a_handler_returns_answers(
        self, server: Journal, name: str, answer: object, json: str
    ) -> None:
        decorate = server.registry.on_message if name == "message" else server.registry.on(name)
        decorate(lambda *args: answer)
        client = server.connect()
        client.emit(name, "hi", ack_id=7)

        assert client.received() == [f"37{json}"]

    def test_bytes_as_well(self, server: Journal) -> None:
        server.registry.on_message(lambda *args: b"\x01")
        client = server.connect()
        client.emit("message", "hi", ack_id=7)

        assert client.received() == ['61-7[{"_placeholder":true,"num":0}]', "bAQ=="]

    def test_where_the_client_asks_for_none_there_is_none(self, server: Journal) -> None:
        server.registry.on_message(lambda *args: "answer")
        client = server.connect()
        client.emit("message", "hi")

        assert client.received() == []

    @pytest.mark.parametrize(
        ("answers", "json"), [([None, 1, 2], "[1]"), ([1, None], "[1]"), ([None, None], "[]")]
    )
    def test_of_several_handlers_the_first_that_returns_something_answers(
        self, server: Journal, answers: list[object], json: str
    ) -> None:
        for answer in answers:
            server.registry.on_message(lambda *args, answer=answer: answer)
        client = server.connect()
        client.emit("message", "hi", ack_id=0)

        assert client.received() == [f"30{json}"]

    def test_without_a_handler_there_is_none(self, server: Journal) -> None:
        client = server.connect()
        client.emit("message", "hi", ack_id=1)

        assert client.received() == []

    def test_where_no_handler_fits_the_channels_there_is_none(self, server: Journal) -> None:
        server.registry.on_message(channel="^room-")(lambda *args: "answer")
        client = server.connect()
        client.emit("message", "hi", ack_id=1)

        assert client.received() == []

    def test_where_the_handler_raised_there_is_none(self, server: Journal) -> None:
        @server.registry.on_message
        def message(*args: object) -> None:
            raise Boom

        client = server.connect()
        client.emit("message", "hi", ack_id=1)

        assert client.received() == []

    def test_one_that_can_not_be_encoded_is_an_error(self, server: Journal) -> None:
        server.note("on_error")
        server.registry.on_message(lambda *args: object())
        client = server.connect()
        client.emit("message", "hi", ack_id=1)

        assert server.errors == [TypeError]
        assert client.received() == []
        assert client.socket.connected()

    @pytest.mark.parametrize("result", [object(), "a mistake"])
    def test_of_one_that_is_an_error_the_handler_is_logged_with_file_and_line(
        self, server: Journal, result: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        def answer(*args: object) -> object:
            return result

        line = answer.__code__.co_firstlineno
        server.registry.on("ask")(answer)
        server.connect().emit("ask", ack_id=1)

        assert f"answer` ({__file__}:{line}) returned " in caplog.text

    def test_a_result_that_can_not_be_meant_is_an_error_without_one_as_well(
        self, server: Journal
    ) -> None:
        """The handler behind a decorator for views has not run."""
        server.note("on_error")
        server.registry.on("ask")(lambda *args: "a mistake")
        server.registry.on("ask")(lambda *args: "an answer")
        client = server.connect()
        client.emit("ask")
        client.emit("ask", ack_id=1)

        assert server.errors == [TypeError, TypeError]
        assert client.received() == ['31["an answer"]']


class TestCustomEvents:
    def test_handlers_get_all_arguments(self, server: Journal) -> None:
        got: list[object] = []
        server.registry.on("draw")(lambda request, socket, context, *args: got.append(args))
        client = server.connect()
        client.emit("draw", 1, "two", [3])
        client.emit("draw")

        assert got == [(1, "two", [3]), ()]

    def test_they_run_whatever_the_channels(self, server: Journal) -> None:
        server.registry.on("draw")(lambda *args: server.entries.append("always"))
        server.registry.on("draw", channel="^room-")(lambda *args: server.entries.append("room"))
        client = server.connect()
        client.emit("draw")
        client.socket.subscribe("room-1")
        client.emit("draw")

        assert server.entries == ["always", "always", "room"]

    def test_a_wrong_number_of_arguments_is_the_handler_s_error(self, server: Journal) -> None:
        server.note("on_error")
        server.registry.on("draw")(lambda request, socket, context, x, y: None)
        client = server.connect()
        client.emit("draw", 1)

        assert len(server.entries) == 1
        assert client.socket.connected()


# --- Channels ---------------------------------------------------------------------------------


class TestSubscribe:
    def test_the_socket_is_in_the_channel_first_then_the_event_runs(self, server: Journal) -> None:
        @server.registry.on_subscribe
        def subscribe(request: object, socket: Socket, context: Context, channel: str) -> None:
            server.entries.append((channel, tuple(socket.channels)))

        client = server.connect()
        client.emit("__subscribe__", "room")

        assert server.entries == [("room", ("room",))]

    def test_it_is_acknowledged(self, server: Journal) -> None:
        client = server.connect()
        client.emit("__subscribe__", "room", ack_id=1)
        client.emit("__subscribe__", "room", ack_id=2)

        assert client.received() == ["31[true]", "32[false]"]

    def test_doing_it_again_changes_nothing_and_the_event_runs_all_the_same(
        self, server: Journal
    ) -> None:
        server.note("on_subscribe")
        client = server.connect(channels=["room", "room"])

        assert server.entries == [("on_subscribe", "room")] * 2
        assert tuple(client.socket.channels) == ("room",)

    def test_handlers_with_a_pattern_run_for_this_very_channel(self, server: Journal) -> None:
        server.note("on_subscribe", channel="^room-")
        server.connect(channels=["room-1", "other", "room-2"])

        assert server.entries == [("on_subscribe", "room-1"), ("on_subscribe", "room-2")]

    def test_handlers_without_one_run_for_every_channel(self, server: Journal) -> None:
        server.note("on_subscribe")
        server.connect(channels=["a", "b"])

        assert server.entries == [("on_subscribe", "a"), ("on_subscribe", "b")]

    @pytest.mark.parametrize(
        "args",
        [
            pytest.param([], id="none"),
            pytest.param([""], id="empty"),
            pytest.param([1], id="number"),
            pytest.param([None], id="null"),
            pytest.param([["room"]], id="list"),
            pytest.param([{"channel": "room"}], id="object"),
            pytest.param(["a", "b"], id="two"),
            pytest.param(["x" * 129], id="too long"),
            pytest.param(["two\nlines"], id="line break"),
            pytest.param(["nul\0"], id="nul"),
            pytest.param(["\u202eroom"], id="direction override"),
        ],
    )
    def test_what_is_no_channel_is_refused(self, server: Journal, args: list[object]) -> None:
        server.note("on_subscribe", "on_unsubscribe")
        client = server.connect()
        client.emit("__subscribe__", *args, ack_id=1)
        client.emit("__unsubscribe__", *args, ack_id=2)

        assert client.received() == [
            '31[{"error":"Invalid channel"}]',
            '32[{"error":"Invalid channel"}]',
        ]
        assert server.entries == []
        assert client.closed == []

    @pytest.mark.parametrize("channel", ["x", "x" * 128, "room 1", "été", "😀", "a/b.c-d_e"])
    def test_names_are_1_to_128_printable_characters(self, server: Journal, channel: str) -> None:
        client = server.connect()
        client.emit("__subscribe__", channel, ack_id=1)

        assert client.received() == ["31[true]"]
        assert tuple(client.socket.channels) == (channel,)

    def test_a_client_holds_no_more_than_allowed(self) -> None:
        server = Journal(Options(max_channels=2))
        client = server.connect(channels=["a", "b"])
        client.emit("__subscribe__", "c", ack_id=1)
        client.emit("__subscribe__", "a", ack_id=2)
        client.emit("__unsubscribe__", "a", ack_id=3)
        client.emit("__subscribe__", "c", ack_id=4)

        assert client.received() == [
            '31[{"error":"Invalid channel"}]',
            "32[false]",
            "33[true]",
            "34[true]",
        ]


class TestRefusingASubscription:
    @pytest.mark.parametrize(
        ("refusal", "answer"),
        [
            (Reject("members only"), '{"error":"members only"}'),
            (Reject("no", {"code": 7}), '{"error":"no","data":{"code":7}}'),
            (PermissionError("not you"), '{"error":"not you"}'),
            (Boom("the password is 123"), '{"error":"Internal error"}'),
        ],
    )
    def test_it_is_undone_and_the_client_is_told_why(
        self, server: Journal, refusal: Exception, answer: str
    ) -> None:
        @server.registry.on_subscribe
        def subscribe(*args: object) -> None:
            raise refusal

        client = server.connect()
        client.emit("__subscribe__", "room", ack_id=1)

        assert client.received() == [f"31[{answer}]"]
        assert tuple(client.socket.channels) == ()
        assert "room" not in server.clients.channels
        assert client.socket.connected()

    @pytest.mark.parametrize("result", [False, "a mistake"])
    def test_a_handler_refuses_by_what_it_returns(self, server: Journal, result: object) -> None:
        server.registry.on_subscribe(lambda request, socket, context, channel: result)
        client = server.connect()
        client.emit("__subscribe__", "room", ack_id=1)

        assert client.received() == ['31[{"error":"rejected"}]']
        assert not client.socket.channels

    def test_on_error_runs_while_the_socket_is_on_the_channel(self, server: Journal) -> None:
        server.note("on_error", channel="^room$")

        @server.registry.on_subscribe
        def subscribe(*args: object) -> None:
            raise Boom

        server.connect(channels=["room"])

        assert server.errors == [Boom]

    def test_nothing_from_the_channel_is_delivered_in_between(self, server: Journal) -> None:
        go_on = Event()

        @server.registry.on_subscribe(channel="secret")
        def subscribe(*args: object) -> None:
            go_on.wait()
            raise Reject("no")

        client, other = server.connect(channels=["open"]), server.connect()
        client.emit("__subscribe__", "secret")
        other.socket.broadcast_channel("secret", "secret")
        go_on.set()
        settle()

        assert client.received() == []

    def test_everything_else_is_delivered_and_in_order(self, server: Journal) -> None:
        go_on = Event()

        @server.registry.on_subscribe(channel="secret")
        def subscribe(*args: object) -> None:
            go_on.wait()
            raise Reject("no")

        client, other = server.connect(channels=["open"]), server.connect()
        client.emit("__subscribe__", "secret")
        other.socket.broadcast_channel("1", "open")
        other.socket.broadcast_channel("secret", "secret")
        other.socket.broadcast("2")
        client.socket.send("3")
        other.socket.emit("message", "4", to=["open", "secret"])
        go_on.set()
        settle()

        assert client.messages() == ["1", "2", "3", "4"]

    def test_a_channel_that_the_client_is_on_already_is_not_held_back(
        self, server: Journal
    ) -> None:
        client, other = server.connect(channels=["room"]), server.connect()
        go_on = Event()
        server.registry.on_subscribe(lambda *args: go_on.wait() and None)
        client.emit("__subscribe__", "room")
        other.socket.broadcast_channel("hi", "room")

        assert client.messages() == ["hi"]
        go_on.set()
        settle()

    def test_what_is_accepted_is_delivered_in_order(self, server: Journal) -> None:
        go_on = Event()

        @server.registry.on_subscribe(channel="room")
        def subscribe(request: object, socket: Socket, context: Context, channel: str) -> None:
            go_on.wait()
            socket.send("3")

        client, other = server.connect(), server.connect()
        client.emit("__subscribe__", "room")
        other.socket.broadcast_channel("1", "room")
        other.socket.broadcast("2")
        go_on.set()
        settle()

        assert client.messages() == ["1", "2", "3"]

    def test_it_is_no_error(self, server: Journal, caplog: pytest.LogCaptureFixture) -> None:
        server.note("on_error", "on_unsubscribe")

        @server.registry.on_subscribe
        def subscribe(*args: object) -> None:
            raise Reject("no")

        server.connect(channels=["room"])

        assert server.entries == []
        assert caplog.records == []


class TestUnsubscribe:
    def test_the_socket_is_out_of_the_channel_first_then_the_event_runs(
        self, server: Journal
    ) -> None:
        @server.registry.on_unsubscribe
        def unsubscribe(request: object, socket: Socket, context: Context, channel: str) -> None:
            server.entries.append((channel, tuple(socket.channels)))

        client = server.connect(channels=["room", "other"])
        client.emit("__unsubscribe__", "room")

        assert server.entries == [("room", ("other",))]
        assert "room" not in server.clients.channels

    def test_it_is_acknowledged(self, server: Journal) -> None:
        client = server.connect(channels=["room"])
        client.emit("__unsubscribe__", "room", ack_id=1)
        client.emit("__unsubscribe__", "room", ack_id=2)

        assert client.received() == ["31[true]", "32[false]"]

    def test_leaving_what_it_does_not_hold_runs_the_event_all_the_same(
        self, server: Journal
    ) -> None:
        server.note("on_unsubscribe")
        server.connect().emit("__unsubscribe__", "room")

        assert server.entries == [("on_unsubscribe", "room")]


# --- The end ----------------------------------------------------------------------------------


ENDS: list[Any] = [
    pytest.param(lambda client: client.send("1"), "client namespace disconnect", id="it leaves"),
    pytest.param(lambda client: client.send("noise"), "parse error", id="it talks nonsense"),
    pytest.param(
        lambda client: client.socket.disconnect(), "server namespace disconnect", id="thrown out"
    ),
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

        server.connect(channels=["room"]).leave()

        assert server.entries == [True]
        assert len(server.clients) == 0
        assert len(server.clients.channels) == 0

    def test_what_the_client_sent_before_is_handled_first(self, server: Journal) -> None:
        go_on = Event()
        server.note("on_disconnect")

        @server.registry.on_message
        def message(request: object, socket: Socket, context: Context, message: str) -> None:
            go_on.wait()
            server.entries.append(message)

        client = server.connect()
        client.send('2["message","one"]', '2["message","two"]')
        client.leave()
        go_on.set()
        settle()

        assert server.entries == ["one", "two", "on_disconnect"]

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

    def test_without_clients_it_does_not_wait(self, server: Journal) -> None:
        assert server.dispatcher.wait_until_idle(PATIENCE)

    def test_it_waits_for_the_last_handlers(self, server: Journal) -> None:
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

    def test_but_no_longer_than_it_may(self, server: Journal) -> None:
        server.connect()

        assert server.dispatcher.wait_until_idle(0.001) is False

    def test_those_who_were_refused_are_not_waited_for(self, server: Journal) -> None:
        @server.registry.on_connect
        def connect(*args: object) -> None:
            raise Reject("no")

        server.open().send("0")

        assert server.dispatcher.wait_until_idle(PATIENCE)


# --- Handlers that raise ----------------------------------------------------------------------


class TestErrors:
    @pytest.fixture
    def client(self, server: Journal) -> FakeClient:
        """A client of a server with a handler that raises between two that do not."""
        server.registry.on_message(lambda *args: server.entries.append("before"))

        @server.registry.on_message
        def explode(*args: object) -> None:
            raise Boom("secret details")

        server.registry.on_message(lambda *args: server.entries.append("after"))
        return server.connect()

    def test_on_error_runs_with_the_exception_and_the_other_handlers_run(
        self, server: Journal, client: FakeClient
    ) -> None:
        server.note("on_error")
        client.emit("message", "hi")

        assert server.entries[0] == "before"
        assert server.errors == [Boom]
        assert server.entries[2] == "after"

    def test_the_connection_goes_on(self, server: Journal, client: FakeClient) -> None:
        client.emit("message", "hi")
        client.emit("message", "again")

        assert server.entries == ["before", "after"] * 2
        assert client.socket.connected()

    def test_the_client_learns_nothing_of_it(self, client: FakeClient) -> None:
        client.emit("message", "hi", ack_id=1)

        assert client.received() == []

    def test_the_traceback_is_logged_with_event_and_public_id(
        self, client: FakeClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        client.emit("message", "hi")

        (record,) = caplog.records
        assert (record.name, record.levelname) == ("socketio_server", "ERROR")
        assert "on_message" in record.getMessage()
        assert client.id in record.getMessage()
        assert record.exc_info is not None
        assert record.exc_info[0] is Boom

    def test_the_same_of_one_client_is_logged_once_in_a_while(
        self, server: Journal, client: FakeClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Else a client could fill the log with tracebacks (security, rule 19)."""
        server.note("on_error")
        for _ in range(3):
            client.emit("message", "hi")
        assert len(server.errors) == 3
        assert len(caplog.records) == 1
        server.connect().emit("message", "hi")

        assert len(caplog.records) == 2

    def test_each_is_reported_to_the_server_s_owner(
        self, server: Journal, client: FakeClient
    ) -> None:
        raised: list[BaseException] = []
        server.dispatcher._on_raised = raised.append
        client.emit("message", "hi")
        client.emit("message", "again")

        assert [type(error) for error in raised] == [Boom, Boom]

    def test_another_one_is_logged_as_well(
        self, server: Journal, client: FakeClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        @server.registry.on("divide")
        def divide(request: object, socket: Socket, context: Context, by: int) -> float:
            if by == 0:
                return 1 / by
            return 2 / (by - by)

        for by in (0, 1, 0, 1):
            client.emit("divide", by)

        assert len(caplog.records) == 2

    def test_one_in_on_error_is_logged_and_goes_no_further(
        self, server: Journal, client: FakeClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        @server.registry.on_error
        def error(*args: object) -> None:
            raise LookupError

        server.note("on_error")
        client.emit("message", "hi")

        assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
        assert server.errors == [Boom]  # the second handler's, of the first error
        assert server.entries[-1] == "after"
        assert client.socket.connected()

    def test_on_error_runs_by_the_channels_held(self, server: Journal, client: FakeClient) -> None:
        registry = server.registry
        registry.on_error(lambda *args: server.entries.append("plain"))
        registry.on_error(channel="^room-")(lambda *args: server.entries.append("room"))
        server.registry.on("fail")(lambda *args: 1 / 0)
        client.emit("fail")
        client.socket.subscribe("room-1")
        client.emit("fail")

        assert server.entries == ["plain", "room"]

    @pytest.mark.parametrize(
        "error", [Boom, gevent.Timeout, SystemExit, Reject, PermissionError, asyncio.CancelledError]
    )
    def test_whatever_a_message_s_handler_raises_ends_no_more_than_itself(
        self, server: Journal, error: type[BaseException]
    ) -> None:
        @server.registry.on_message
        def message(request: object, socket: Socket, context: Context, message: str) -> None:
            if message == "raise":
                raise error()
            socket.send("still here")

        client = server.connect()
        client.emit("message", "raise")
        client.emit("message", "hi")

        assert client.messages() == ["still here"]
        assert client.closed == []


# --- Around handlers --------------------------------------------------------------------------


class TestStatistics:
    def test_events_with_handlers_and_their_time_are_counted(self, server: Journal) -> None:
        @server.registry.on("work")
        def work(*args: object) -> None:
            server.loop.now += 2.0

        client = server.connect()
        client.emit("work")
        client.emit("work")
        client.emit("message", "nobody handles it")

        assert (server.stats.events, server.stats.handler_time) == (2, 4.0)


class TestTheHandlingGreenlet:
    def test_it_is_known_as_the_client_s_own_only_while_it_handles_an_event(
        self, server: Journal
    ) -> None:
        def is_own(worker: greenlet) -> bool:
            owner = client.socket._delivery.owner
            return owner is not None and owner.is_handled_by(worker)

        @server.registry.on_message
        def message(*args: object) -> None:
            workers.append(getcurrent())
            server.entries.append(is_own(getcurrent()))

        workers: list[greenlet] = []
        client = server.connect()
        client.emit("message", "hi")

        assert server.entries == [True]
        assert not is_own(workers[0])


class TestDirtyWorkers:
    def test_only_in_one_the_hooks_run_around_the_handlers_even_if_they_raise(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hooks = RecordingHooks()
        server = Journal(hooks=hooks)
        monkeypatch.setattr(hooks, "before_event", lambda: server.entries.append("before"))
        monkeypatch.setattr(hooks, "after_event", lambda: server.entries.append("after"))

        @server.registry.on_message
        def message(*args: object) -> None:
            server.entries.append("handler")
            raise Boom

        client = server.connect()
        client.emit("message", "in a clean worker")
        assert server.entries == ["handler"]

        with monkeypatch.context() as patch:
            patch.setattr("socketio_server.net.workers.Worker.is_dirty", True)
            client.emit("message", "in a dirty one")
        assert server.entries == ["handler", "before", "handler", "after"]


class TestTheMessageLog:
    def test_what_clients_do_is_logged_with_their_request(self, server: Journal) -> None:
        request = object()
        client = server.connect(request=request, channels=["room"])
        client.emit("message", {"a": 1})
        client.emit("__unsubscribe__", "room")

        assert isinstance(server.hooks, RecordingHooks)
        assert server.hooks.log == [
            (request, "subscribe", "room"),
            (request, "message", {"a": 1}),
            (request, "unsubscribe", "room"),
        ]


class TestSurroundings:
    def test_what_was_active_at_the_handshake_is_restored_for_each_event(self) -> None:
        hooks = RecordingHooks()
        server = Journal(hooks=hooks)
        hooks.captured = "french"
        french = server.connect()
        hooks.captured = None
        usual = server.connect()
        hooks.restored.clear()
        french.emit("message", "hi")
        usual.emit("message", "hi")

        assert hooks.restored == ["french"]


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


@dataclass
class Point:
    """What a typed handler wants."""

    x: int
    y: int


class TestTypedMessages:
    @pytest.fixture
    def client(self, server: Journal) -> FakeClient:
        """A client of a server whose handlers want points."""

        @server.registry.on_message
        def message(request: object, socket: Socket, context: Context, message: Point) -> None:
            server.entries.append(message)

        @server.registry.on("line")
        def line(request: object, socket: Socket, context: Context, a: Point, b: Point) -> None:
            server.entries.append((a, b))

        server.note("on_error")
        return server.connect()

    def test_what_fits_is_converted(self, server: Journal, client: FakeClient) -> None:
        client.emit("message", {"x": 1, "y": 2})
        client.emit("line", {"x": 1, "y": 2}, {"x": 3, "y": 4})

        assert server.entries == [Point(1, 2), (Point(1, 2), Point(3, 4))]

    @pytest.mark.parametrize("message", [None, "text", {}, {"x": 1, "y": "2"}, [1, 2]])
    def test_what_does_not_goes_to_on_error_and_to_the_acknowledgement(
        self, server: Journal, client: FakeClient, message: object
    ) -> None:
        client.emit("message", message, ack_id=1)

        assert server.errors == [ValidationError]
        assert len(server.entries) == 1
        (answer,) = client.received()
        assert answer.startswith('31[{"error":"')
        (refusal,) = client.refusals
        assert refusal.startswith(
            f"message: invalid message to on_message from socket {client.id}: 'Expected `"
        ) or refusal.endswith("missing required field `x`'")
        assert client.socket.connected()
