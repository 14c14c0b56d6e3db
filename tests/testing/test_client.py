"""The test client: a client whose server is the test's own process."""

import datetime
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, TestCase, override_settings
from django.urls import include, path
from django.utils import translation
from pytest_django import Settings
from pytest_django.fixtures import DjangoAssertNumQueries

import socketio_server
from socketio_server import EVERYONE, NoSocket, events
from socketio_server.channels import CHANNELS
from socketio_server.clients import CLIENTS
from socketio_server.dispatch.middleware import CallNext, EventCall
from socketio_server.events import Registry, Reject, ValidationError
from socketio_server.testing import ConnectionRefused, SocketIOClient, SubscriptionRefused, clock

SESSIONS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
WITH_USERS: dict[str, Any] = {
    "INSTALLED_APPS": [
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "socketio_server",
    ],
    "MIDDLEWARE": SESSIONS,
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
}
"""The demo project has no users; these settings give it some."""


def announce(request: HttpRequest) -> HttpResponse:
    """A view that tells all clients something."""
    socketio_server.broadcast(request.GET["text"])
    return HttpResponse("done")


urlpatterns = [path("", include("socketio_server.urls")), path("announce/", announce)]


@pytest.fixture
def registry() -> Registry:
    """The handlers of a test."""
    return Registry()


@pytest.fixture
def client(registry: Registry) -> Iterator[SocketIOClient]:
    """A client that is connected; what the test does to the registry before it connects is lost."""
    with SocketIOClient(registry=registry) as client:
        yield client


@pytest.fixture
def log(registry: Registry) -> list[str]:
    """What happens on the server, as handlers of all lifecycle events see it."""
    log: list[str] = []

    @registry.on_connect
    def connect(request: Any, socket: Any, context: Any) -> None:
        log.append("connect")

    @registry.on_subscribe
    def subscribe(request: Any, socket: Any, context: Any, channel: str) -> None:
        log.append(f"subscribe {channel}")

    @registry.on_unsubscribe
    def unsubscribe(request: Any, socket: Any, context: Any, channel: str) -> None:
        log.append(f"unsubscribe {channel}")

    @registry.on_disconnect
    def disconnect(request: Any, socket: Any, context: Any) -> None:
        log.append(f"disconnect: {socket.close_reason}")

    @registry.on_finish
    def finish(request: Any, socket: Any, context: Any) -> None:
        log.append("finish")

    return log


class TestTheDemo:
    """How a project's own handlers are tested: these are the demo's ``events.py``."""

    def test_whoever_comes_is_welcomed(self) -> None:
        with SocketIOClient() as visitor:
            visitor.assert_received({"action": "system-info", "message": "You are connected."})

    def test_in_the_visitors_language(self) -> None:
        with SocketIOClient(headers={"Accept-Language": "fr"}) as visitor:
            (welcome,) = visitor.messages

        assert welcome["message"] == "La connexion est établie."

    def test_what_one_says_reaches_the_whole_room_and_nobody_else(self) -> None:
        with SocketIOClient() as ann, SocketIOClient() as bob, SocketIOClient() as eve:
            ann.subscribe("room-1")
            bob.subscribe("room-1")
            eve.subscribe("room-2")
            for visitor in (ann, bob, eve):
                visitor.get_received()  # the greetings
            ann.send({"action": "message", "message": "hello"})

            ann.assert_received({"action": "message", "message": "hello"})
            bob.assert_received({"action": "message", "message": "hello"})
            eve.assert_received_nothing()


class TestTheHandshake:
    """It is a request like any other, through the project's middleware."""

    @pytest.fixture
    def requests(self, registry: Registry) -> list[HttpRequest]:
        """The requests that ``on_connect`` got."""
        requests: list[HttpRequest] = []

        @registry.on_connect
        def connect(request: HttpRequest, socket: Any, context: Any) -> None:
            requests.append(request)

        return requests

    def test_handlers_get_its_request(
        self, registry: Registry, requests: list[HttpRequest]
    ) -> None:
        headers = {"X-Device": "phone"}
        with SocketIOClient(registry=registry, query={"token": "abc"}, headers=headers):
            (request,) = requests

        assert request.path == "/socket.io/"
        assert request.GET["token"] == "abc"
        assert request.headers["X-Device"] == "phone"
        assert not request.is_secure()

    def test_it_may_be_secure(self, registry: Registry, requests: list[HttpRequest]) -> None:
        with SocketIOClient(registry=registry, secure=True):
            assert requests[0].is_secure()

    def test_it_has_the_cookies_of_the_client_that_is_given(
        self, registry: Registry, requests: list[HttpRequest]
    ) -> None:
        http = Client()
        http.cookies["flavour"] = "vanilla"
        with SocketIOClient(registry=registry, client=http):
            assert requests[0].COOKIES["flavour"] == "vanilla"

    @override_settings(**WITH_USERS)
    def test_it_has_the_session_of_the_client_that_is_given(
        self, registry: Registry, requests: list[HttpRequest]
    ) -> None:
        http = Client()
        session = http.session
        session["colour"] = "green"
        session.save()
        http.cookies["sessionid"] = session.session_key or ""
        with SocketIOClient(registry=registry, client=http):
            assert requests[0].session["colour"] == "green"

    def test_the_language_that_it_activates_is_the_handlers_and_not_the_tests(
        self, registry: Registry
    ) -> None:
        languages = []

        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            languages.append(translation.get_language())

        with SocketIOClient(registry=registry, headers={"Accept-Language": "fr"}) as client:
            client.send("hi")

        assert languages == ["fr"]
        assert translation.get_language() == "en"

    def test_a_foreign_origin_is_refused(self, registry: Registry, log: list[str]) -> None:
        client = SocketIOClient(registry=registry, headers={"Origin": "https://evil.example"})
        with pytest.raises(ConnectionRefused, match="403 Forbidden") as refused:
            client.connect()

        assert refused.value.response.status_code == 403
        assert not client.connected
        assert log == []

    def test_middleware_may_refuse_it(self, registry: Registry, settings: Settings) -> None:
        settings.MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]
        settings.SECURE_SSL_REDIRECT = True
        with pytest.raises(ConnectionRefused, match="301 Moved Permanently"):
            SocketIOClient(registry=registry).connect()

    def test_it_works_where_the_project_allows_polling_only(
        self, registry: Registry, settings: Settings
    ) -> None:
        settings.SOCKETIO_TRANSPORTS = ["polling"]
        with SocketIOClient(registry=registry) as client:
            assert client.connected


class TestConnecting:
    def test_the_context_manager_connects_and_disconnects(
        self, registry: Registry, log: list[str]
    ) -> None:
        with SocketIOClient(registry=registry) as client:
            assert client.connected
            assert log == ["connect"]

        assert not client.connected
        assert log[1:] == ["disconnect: client namespace disconnect", "finish"]

    def test_it_can_be_done_by_hand(self, registry: Registry, log: list[str]) -> None:
        client = SocketIOClient(registry=registry)
        assert not client.connected
        assert log == []

        client.connect()
        assert client.connected

        client.disconnect()
        assert not client.connected

    def test_the_client_is_among_the_clients(self, client: SocketIOClient) -> None:
        _request, socket, context = CLIENTS[client.session_id]

        assert list(CLIENTS) == [client.session_id]
        assert socket.session.session_id == client.session_id
        assert context == {}

    def test_what_on_connect_sends_has_arrived(self, registry: Registry) -> None:
        @registry.on_connect
        def connect(request: Any, socket: Any, context: Any) -> None:
            socket.send("welcome")

        with SocketIOClient(registry=registry) as client:
            client.assert_received("welcome")

    def test_the_server_gets_the_clients_auth(self, registry: Registry) -> None:
        @registry.on_connect
        def connect(request: Any, socket: Any, context: Any) -> None:
            socket.send(socket.auth)

        with SocketIOClient(registry=registry, auth={"token": "abc"}) as client:
            client.assert_received({"token": "abc"})

    def test_a_client_that_is_connected_can_not_connect(self, client: SocketIOClient) -> None:
        with pytest.raises(RuntimeError, match="connected already"):
            client.connect()

    def test_nobody_can_connect_while_handlers_run(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            other.connect()

        other = SocketIOClient(registry=registry)
        with pytest.raises(RuntimeError, match="while handlers run"):
            client.send("hi")

    def test_one_that_was_disconnected_may_connect_again(
        self, registry: Registry, log: list[str]
    ) -> None:
        client = SocketIOClient(registry=registry)
        with client:
            first = client.session_id
        with client:
            assert client.connected
            assert client.close_reason is None
            assert client.session_id != first

        assert log.count("connect") == log.count("finish") == 2

    def test_a_refusal_carries_message_and_data(self, registry: Registry, log: list[str]) -> None:
        @registry.on_connect
        def refuse(request: Any, socket: Any, context: Any) -> None:
            socket.send("nobody will see this")
            raise Reject("full", {"retry_after": 30})

        client = SocketIOClient(registry=registry)
        with pytest.raises(ConnectionRefused, match="full") as refused:
            client.connect()

        assert refused.value.message == "full"
        assert refused.value.data == {"retry_after": 30}
        assert refused.value.response is None
        assert not client.connected
        assert log == ["connect"]
        client.assert_received_nothing()
        assert len(CLIENTS) == 0

    def test_permission_denied_is_a_refusal(self, registry: Registry) -> None:
        @registry.on_connect
        def refuse(request: Any, socket: Any, context: Any) -> None:
            raise PermissionDenied("members only")

        with pytest.raises(ConnectionRefused, match="members only"):
            SocketIOClient(registry=registry).connect()

    def test_one_that_was_refused_may_try_again(self, registry: Registry) -> None:
        @registry.on_connect
        def refuse(request: Any, socket: Any, context: Any) -> None:
            if not open_hours:
                raise Reject("closed")

        open_hours = False
        client = SocketIOClient(registry=registry)
        with pytest.raises(ConnectionRefused):
            client.connect()
        open_hours = True
        with client:
            assert client.connected

    def test_one_that_on_connect_takes_out_was_connected_and_is_no_more(
        self, registry: Registry, log: list[str]
    ) -> None:
        @registry.on_connect
        def take_out(request: Any, socket: Any, context: Any) -> None:
            socket.send("sorry")
            socket.disconnect()

        with SocketIOClient(registry=registry) as client:
            assert not client.connected
            client.assert_received("sorry")
            assert client.close_reason == "server namespace disconnect"
        assert log == ["connect", "disconnect: server namespace disconnect", "finish"]

    def test_its_repr_tells_whether_it_is(self, registry: Registry) -> None:
        with SocketIOClient(registry=registry) as client:
            assert repr(client) == f"<SocketIOClient {client.session_id}, connected>"
        assert repr(client) == f"<SocketIOClient {client.session_id}, not connected>"


class TestSending:
    def test_a_message_runs_on_message(self, registry: Registry, client: SocketIOClient) -> None:
        messages = []

        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            messages.append(message)

        client.send({"text": "hello"})
        assert messages == [{"text": "hello"}]

    def test_an_event_runs_its_handlers(self, registry: Registry, client: SocketIOClient) -> None:
        moves = []

        @registry.on("move")
        def move(request: Any, socket: Any, context: Any, x: int, y: int) -> None:
            moves.append((x, y))

        client.emit("move", 3, 4)
        assert moves == [(3, 4)]

    def test_what_handlers_send_has_arrived_when_the_call_returns(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            socket.send(message * 2)

        client.send("ha")
        client.assert_received("haha")

    def test_values_travel_as_json(self, registry: Registry, client: SocketIOClient) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            context["message"] = message
            socket.send({"on": datetime.date(2026, 1, 31), "pair": (1, 2)})

        client.send((1, {2: None}))

        _request, _socket, context = CLIENTS[client.session_id]
        assert context["message"] == [1, {"2": None}]
        client.assert_received({"on": "2026-01-31", "pair": [1, 2]})

    def test_bytes_travel_both_ways(self, registry: Registry, client: SocketIOClient) -> None:
        @registry.on("reverse")
        def reverse(request: Any, socket: Any, context: Any, data: dict[str, bytes]) -> bytes:
            socket.emit("got", data["a"], data["b"])
            return data["a"][::-1]

        answer = client.call("reverse", {"a": b"\x00\x1e\xff", "b": b""})

        assert answer == b"\xff\x1e\x00"
        client.assert_received(("got", b"\x00\x1e\xff", b""))

    def test_what_handlers_can_not_send_is_a_type_error(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            socket.send(object())

        with pytest.raises(TypeError, match="object"):
            client.send("hi")
        client.assert_received_nothing()

    @pytest.mark.parametrize("name", ["connect", "disconnect"])
    def test_reserved_names_are_refused(self, client: SocketIOClient, name: str) -> None:
        with pytest.raises(ValueError, match="reserved"):
            client.emit(name)
        with pytest.raises(ValueError, match="reserved"):
            client.call(name)

    def test_who_is_not_connected_can_not_send(self, registry: Registry) -> None:
        client = SocketIOClient(registry=registry)
        with pytest.raises(RuntimeError, match=r"connect\(\) first"):
            client.send("hi")
        with client:
            pass
        with pytest.raises(RuntimeError, match="client namespace disconnect"):
            client.send("hi")


class TestCalling:
    def test_it_returns_what_the_handler_returned(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on("add")
        def add(request: Any, socket: Any, context: Any, a: int, b: int) -> int:
            return a + b

        assert client.call("add", 1, 2) == 3

    def test_a_tuple_where_there_are_several_values(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on("divide")
        def divide(request: Any, socket: Any, context: Any, a: int, b: int) -> tuple[int, int]:
            return divmod(a, b)

        assert client.call("divide", 7, 2) == (3, 1)

    def test_none_where_the_acknowledgement_is_empty(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on("note")
        def note(request: Any, socket: Any, context: Any) -> None:
            pass

        assert client.call("note") is None

    def test_messages_are_acknowledged_too(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: str) -> str:
            return message.upper()

        assert client.call("message", "hi") == "HI"

    def test_an_event_without_handlers_is_not_acknowledged(self, client: SocketIOClient) -> None:
        with pytest.raises(TimeoutError, match="'nothing': no handler is registered for it"):
            client.call("nothing")

    def test_nor_one_whose_handler_raised(self, registry: Registry) -> None:
        @registry.on("fail")
        def fail(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("oops")

        with (
            SocketIOClient(registry=registry, raise_handler_errors=False) as client,
            pytest.raises(TimeoutError, match="or one raised"),
        ):
            client.call("fail")

    def test_nor_one_whose_handler_ended_the_connection(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on("quit")
        def leave(request: Any, socket: Any, context: Any) -> str:
            socket.disconnect()
            return "bye"

        with pytest.raises(TimeoutError, match="the connection ended"):
            client.call("quit")


@dataclass
class Move:
    x: int
    y: int


class TestTypedMessages:
    @pytest.fixture(autouse=True)
    def moves(self, registry: Registry) -> list[Move]:
        moves: list[Move] = []

        @registry.on("move")
        def move(request: Any, socket: Any, context: Any, move: Move) -> str:
            moves.append(move)
            return "moved"

        return moves

    def test_handlers_get_them_converted(self, client: SocketIOClient, moves: list[Move]) -> None:
        assert client.call("move", {"x": 1, "y": 2}) == "moved"
        assert moves == [Move(1, 2)]

    def test_one_that_does_not_fit_is_acknowledged_with_an_error(
        self, client: SocketIOClient, moves: list[Move]
    ) -> None:
        answer = client.call("move", {"x": 1})

        assert "missing required field `y`" in answer["error"]
        assert moves == []

    def test_and_raised_where_it_was_not_to_be_acknowledged(self, client: SocketIOClient) -> None:
        with pytest.raises(ValidationError, match="missing required field `y`"):
            client.emit("move", {"x": 1})


class TestChannels:
    def test_subscribing_runs_on_subscribe(self, log: list[str], client: SocketIOClient) -> None:
        assert client.subscribe("room-1") is True
        assert log == ["connect", "subscribe room-1"]
        assert dict(CHANNELS) == {"room-1": [client.session_id]}

    def test_a_second_time_changes_nothing_and_runs_it_again(
        self, log: list[str], client: SocketIOClient
    ) -> None:
        client.subscribe("room-1")

        assert client.subscribe("room-1") is False
        assert log == ["connect", "subscribe room-1", "subscribe room-1"]

    def test_unsubscribing_runs_on_unsubscribe(
        self, log: list[str], client: SocketIOClient
    ) -> None:
        client.subscribe("room-1")

        assert client.unsubscribe("room-1") is True
        assert client.unsubscribe("room-1") is False
        assert log[2:] == ["unsubscribe room-1", "unsubscribe room-1"]
        assert dict(CHANNELS) == {}

    def test_a_refusal_carries_message_and_data(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on_subscribe(channel="^staff-")
        def refuse(request: Any, socket: Any, context: Any, channel: str) -> None:
            raise Reject("members only", {"channel": channel})

        with pytest.raises(SubscriptionRefused, match="members only") as refused:
            client.subscribe("staff-1")

        assert refused.value.message == "members only"
        assert refused.value.data == {"channel": "staff-1"}
        assert dict(CHANNELS) == {}
        assert client.connected

    @pytest.mark.parametrize("channel", ["", "a\nb", "x" * 129])
    def test_a_name_that_is_none_is_refused(self, client: SocketIOClient, channel: str) -> None:
        with pytest.raises(SubscriptionRefused, match="Invalid channel"):
            client.subscribe(channel)
        with pytest.raises(SubscriptionRefused, match="Invalid channel"):
            client.unsubscribe(channel)


class TestWhatHasArrived:
    @pytest.fixture(autouse=True)
    def _arrive(self, client: SocketIOClient) -> None:
        socketio_server.broadcast("hello")
        socketio_server.emit("typing", "Ann", True)
        socketio_server.broadcast([1, 2])
        socketio_server.emit("done")

    def test_received_has_names_and_arguments_in_order(self, client: SocketIOClient) -> None:
        everything = [
            ("message", "hello"),
            ("typing", "Ann", True),
            ("message", [1, 2]),
            ("done",),
        ]
        assert client.received == everything
        assert client.received == everything

    def test_messages_has_the_messages_alone(self, client: SocketIOClient) -> None:
        assert client.messages == ["hello", [1, 2]]

    def test_several_arguments_of_a_message_are_a_list(self, client: SocketIOClient) -> None:
        client.get_received()
        socketio_server.emit("message", "a", "b")

        assert client.messages == [["a", "b"]]

    def test_get_received_forgets_what_it_returns(self, client: SocketIOClient) -> None:
        assert [name for name, *_ in client.get_received()] == [
            "message",
            "typing",
            "message",
            "done",
        ]
        assert client.get_received() == client.received == client.messages == []

    def test_assert_received_takes_messages_and_events_and_forgets_them(
        self, client: SocketIOClient
    ) -> None:
        client.assert_received("hello", ("typing", "Ann", True), [1, 2], ("done",))
        client.assert_received_nothing()
        client.assert_received()

    def test_it_fails_if_anything_else_has_arrived(self, client: SocketIOClient) -> None:
        expected = ["hello", ("typing", "Ann", True), [1, 2], ("done",)]
        for wrong in (expected[:-1], expected[::-1], [*expected, "more"], []):
            with pytest.raises(AssertionError):
                client.assert_received(*wrong)
        client.assert_received(*expected)

    def test_its_failure_shows_both(self, client: SocketIOClient) -> None:
        client.get_received()
        socketio_server.emit("typing", "Ann")
        with pytest.raises(AssertionError) as failure:
            client.assert_received("hello", "you")

        assert str(failure.value).splitlines() == [
            "Expected events:",
            "  ('message', 'hello')",
            "  ('message', 'you')",
            "Received events:",
            "  ('typing', 'Ann')",
        ]

    def test_assert_received_nothing_fails_if_anything_has(self, client: SocketIOClient) -> None:
        with pytest.raises(AssertionError, match=r"Expected events:\n  nothing\n"):
            client.assert_received_nothing()

    def test_it_stays_after_the_end(self, client: SocketIOClient) -> None:
        client.disconnect()
        assert client.messages == ["hello", [1, 2]]


class TestAcknowledging:
    """What the server asks its clients to acknowledge."""

    @pytest.fixture(autouse=True)
    def answers(self, registry: Registry) -> list[Any]:
        """What handlers were answered."""
        answers: list[Any] = []

        @registry.on("call")
        def call(request: Any, socket: Any, context: Any, *args: Any) -> None:
            answers.append(socket.call("question", *args, timeout=5))

        @registry.on("call back")
        def call_back(request: Any, socket: Any, context: Any, *args: Any) -> None:
            socket.emit("question", *args, callback=lambda *values: answers.append(values))
            answers.append("asked")

        return answers

    @pytest.mark.parametrize(
        ("answer", "value"),
        [
            ("yes", "yes"),
            ([1, 2], [1, 2]),
            (("yes", 3), ("yes", 3)),
            (None, None),
            (lambda: b"bytes", b"bytes"),
            (lambda: ("yes", 3), ("yes", 3)),
        ],
        ids=lambda value: "a function" if callable(value) else repr(value),
    )
    def test_on_answers_for_the_client(
        self, client: SocketIOClient, answers: list[Any], answer: Any, value: Any
    ) -> None:
        client.on("question", answer)
        client.emit("call")

        assert answers == [value]
        client.assert_received(("question",))

    def test_a_function_gets_the_events_arguments(
        self, client: SocketIOClient, answers: list[Any]
    ) -> None:
        client.on("question", lambda a, b: a + b)
        client.emit("call", 1, 2)

        assert answers == [3]

    def test_a_callback_runs_after_the_handler(
        self, client: SocketIOClient, answers: list[Any]
    ) -> None:
        client.on("question", ("yes", 3))
        client.emit("call back")

        assert answers == ["asked", ("yes", 3)]

    def test_a_callback_may_be_answered_later(
        self, client: SocketIOClient, answers: list[Any]
    ) -> None:
        client.emit("call back", 1)
        client.emit("call back", 2)
        client.assert_received(("question", 1), ("question", 2))
        assert answers == ["asked", "asked"]

        client.acknowledge("question", "first")
        client.acknowledge("question", "second", b"bytes")
        assert answers[2:] == [("first",), ("second", b"bytes")]

    def test_what_nobody_asked_for_can_not_be_acknowledged(self, client: SocketIOClient) -> None:
        socketio_server.emit("question")
        with pytest.raises(LookupError, match="no 'question' waits"):
            client.acknowledge("question")

    def test_what_the_answer_raises_is_raised_in_the_test(self, client: SocketIOClient) -> None:
        def answer() -> None:
            raise ValueError("a wrong question")

        client.on("question", answer)
        with pytest.raises(ValueError, match="a wrong question"):
            client.emit("call back")

    def test_so_is_one_that_can_not_be_sent(self, client: SocketIOClient) -> None:
        client.on("question", object())
        with pytest.raises(TypeError, match="object"):
            client.emit("call back")

    def test_what_a_callback_raises_is_raised_in_the_test(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        def callback(value: Any) -> None:
            raise ValueError(f"a wrong answer: {value}")

        @registry.on("ask")
        def ask(request: Any, socket: Any, context: Any) -> None:
            socket.emit("question", callback=callback)

        client.emit("ask")
        with pytest.raises(ValueError, match="a wrong answer: 42"):
            client.acknowledge("question", 42)

    def test_callbacks_from_outside_of_handlers_run_too(
        self, client: SocketIOClient, answers: list[Any]
    ) -> None:
        client.on("question", "yes")
        _request, socket, _context = CLIENTS[client.session_id]
        socket.emit("question", callback=answers.append)

        client.assert_received(("question",))
        assert answers == ["yes"]

    def test_a_broadcast_collects_all_answers(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        with SocketIOClient(registry=registry) as other, SocketIOClient(registry=registry) as mute:
            client.on("question", 1)
            other.on("question", 2)
            answers = socketio_server.call("question", timeout=5)

            assert answers.values == {client.session_id: 1, other.session_id: 2}
            assert answers.missing == (mute.session_id,)

    def test_so_does_one_from_a_handler(
        self, registry: Registry, client: SocketIOClient, answers: list[Any]
    ) -> None:
        @registry.on("poll")
        def poll(request: Any, socket: Any, context: Any) -> None:
            answers.append(socket.call("question", to=EVERYONE, timeout=5).values)

        with SocketIOClient(registry=registry) as other:
            client.on("question", 1)
            other.on("question", 2)
            client.emit("poll")

            assert answers == [{client.session_id: 1, other.session_id: 2}]

    def test_a_client_may_act_while_a_handler_waits_for_it(
        self, registry: Registry, client: SocketIOClient, answers: list[Any]
    ) -> None:
        """Other sockets' events are handled meanwhile; its own wait their turn."""

        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: str) -> None:
            answers.append(message)

        with SocketIOClient(registry=registry) as other:

            def answer() -> str:
                client.send("from the one who is asked")
                other.send("from another")
                return "yes"

            client.on("question", answer)
            client.emit("call")

        assert answers == ["from another", "yes", "from the one who is asked"]

    def test_but_it_can_not_be_acknowledged_before_its_turn(self, client: SocketIOClient) -> None:
        client.on("question", lambda: client.call("message"))
        with pytest.raises(TimeoutError, match="other handlers are still running"):
            client.emit("call")


class TestDisconnecting:
    def test_the_last_handlers_run_in_their_order(
        self, log: list[str], client: SocketIOClient
    ) -> None:
        client.subscribe("a")
        client.subscribe("b")
        log.clear()
        client.disconnect()

        assert log == [
            "disconnect: client namespace disconnect",
            "unsubscribe a",
            "unsubscribe b",
            "finish",
        ]
        assert len(CLIENTS) == 0
        assert dict(CHANNELS) == {}

    @pytest.mark.parametrize(
        "reason", ["transport close", "transport error", "server shutting down"]
    )
    def test_the_reason_may_be_chosen(
        self, log: list[str], client: SocketIOClient, reason: str
    ) -> None:
        client.disconnect(reason)

        assert client.close_reason == reason
        assert log == ["connect", f"disconnect: {reason}", "finish"]

    def test_one_that_does_not_exist_is_a_value_error(self, client: SocketIOClient) -> None:
        with pytest.raises(ValueError, match="boredom"):
            client.disconnect("boredom")
        assert client.connected

    def test_a_second_time_does_nothing(self, log: list[str], client: SocketIOClient) -> None:
        client.disconnect()
        client.disconnect("transport close")

        assert log.count("finish") == 1
        assert client.close_reason == "client namespace disconnect"

    def test_the_server_may_do_it(
        self, registry: Registry, log: list[str], client: SocketIOClient
    ) -> None:
        @registry.on("quit")
        def leave(request: Any, socket: Any, context: Any) -> None:
            socket.send("bye")
            socket.disconnect()
            socket.send("too late")
            log.append("quit")

        client.emit("quit")

        assert not client.connected
        assert client.close_reason == "server namespace disconnect"
        client.assert_received("bye")
        assert log == ["connect", "quit", "disconnect: server namespace disconnect", "finish"]

    def test_with_the_whole_session_too(
        self, registry: Registry, log: list[str], client: SocketIOClient
    ) -> None:
        @registry.on("quit")
        def leave(request: Any, socket: Any, context: Any) -> None:
            socket.disconnect(close=True)

        client.emit("quit")

        assert not client.connected
        assert log == ["connect", "disconnect: server namespace disconnect", "finish"]

    def test_it_does_it_to_clients_that_break_the_protocol(
        self, log: list[str], client: SocketIOClient
    ) -> None:
        client.send([b""] * 11)  # one attachment more than a packet may have

        assert client.close_reason == "parse error"
        assert log == ["connect", "disconnect: parse error", "finish"]

    def test_it_may_do_it_outside_of_handlers(self, log: list[str], client: SocketIOClient) -> None:
        _request, socket, _context = CLIENTS[client.session_id]
        socket.disconnect()

        assert log == ["connect", "disconnect: server namespace disconnect", "finish"]
        assert not client.connected

    def test_what_fails_in_the_block_is_not_hidden_by_what_the_last_handlers_raise(
        self, registry: Registry
    ) -> None:
        @registry.on_disconnect
        def disconnect(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("at the end")

        with pytest.raises(KeyError), SocketIOClient(registry=registry):
            raise KeyError("in the block")

        with pytest.raises(ValueError, match="at the end"), SocketIOClient(registry=registry):
            pass


class TestHandlersThatRaise:
    @pytest.fixture
    def seen(self, registry: Registry) -> list[str]:
        """What happens besides."""
        seen: list[str] = []

        @registry.on("fail")
        def fail(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("oops")

        @registry.on("fail")
        def follow(request: Any, socket: Any, context: Any) -> None:
            seen.append("the next handler")

        @registry.on_error
        def error(request: Any, socket: Any, context: Any, exception: Exception) -> None:
            seen.append(f"on_error: {exception}")

        return seen

    def test_raise_in_the_test_too(self, seen: list[str], client: SocketIOClient) -> None:
        with pytest.raises(ValueError, match="oops") as raised:
            client.emit("fail")

        assert raised.traceback[-1].name == "fail"

    def test_and_all_else_has_happened_as_it_does_on_a_server(
        self, seen: list[str], client: SocketIOClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with (
            caplog.at_level(logging.ERROR, "socketio_server"),
            pytest.raises(ValueError, match="oops"),
        ):
            client.emit("fail")

        assert seen == ["on_error: oops", "the next handler"]
        assert client.connected
        assert "Handler of fail raised" in caplog.text

    def test_unless_the_client_is_told_that_they_need_not(
        self, registry: Registry, seen: list[str]
    ) -> None:
        with SocketIOClient(registry=registry, raise_handler_errors=False) as client:
            client.emit("fail")
            assert client.connected

        assert seen == ["on_error: oops", "the next handler"]

    def test_the_first_of_several_is_raised(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on_message
        def one(request: Any, socket: Any, context: Any, message: Any) -> None:
            raise ValueError("one")

        @registry.on_message
        def two(request: Any, socket: Any, context: Any, message: Any) -> None:
            raise ValueError("two")

        with pytest.raises(ValueError, match="one"):
            client.send("hi")
        assert client.connected  # and nothing is left over

    def test_what_on_connect_raises_ends_the_connection(
        self, registry: Registry, log: list[str]
    ) -> None:
        @registry.on_connect
        def fail(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("oops")

        client = SocketIOClient(registry=registry)
        with pytest.raises(ValueError, match="oops"):
            client.connect()

        assert not client.connected
        assert log == ["connect"]  # it is refused

    def test_unless_it_need_not_be_raised(self, registry: Registry) -> None:
        @registry.on_connect
        def fail(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("oops")

        with pytest.raises(ConnectionRefused, match="Internal error"):
            SocketIOClient(registry=registry, raise_handler_errors=False).connect()

    def test_what_is_raised_outside_of_a_call_is_raised_by_the_next(
        self, registry: Registry
    ) -> None:
        @registry.on_disconnect
        def disconnect(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("oops")

        client = SocketIOClient(registry=registry)
        client.connect()
        CLIENTS[client.session_id][1].disconnect()
        assert not client.connected

        with pytest.raises(ValueError, match="oops"):
            client.disconnect()

    def test_what_is_no_exception_goes_straight_to_the_test(
        self, registry: Registry, log: list[str]
    ) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), SocketIOClient(registry=registry) as client:
            client.send("hi")

        assert not client.connected
        assert len(CLIENTS) == 0


class TestTheClock:
    def test_a_handler_that_waits_in_vain_times_out_at_once(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on("ask")
        def ask(request: Any, socket: Any, context: Any) -> str:
            try:
                socket.call("question", timeout=3600)
            except TimeoutError as error:
                return str(error)
            return "answered"

        assert client.call("ask") == "the client did not acknowledge 'question'"
        assert client.clock.now == 3600
        client.assert_received(("question",))

    def test_one_that_would_wait_for_ever_is_an_error(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on("ask")
        def ask(request: Any, socket: Any, context: Any) -> None:
            socket.call("question")

        with pytest.raises(RuntimeError, match="waits for ever for an acknowledgement"):
            client.emit("ask")

    def test_one_that_waits_for_a_client_that_is_gone_is_told_so(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        with SocketIOClient(registry=registry) as gone:

            @registry.on("ask")
            def ask(request: Any, socket: Any, context: Any) -> str:
                _request, other, _context = CLIENTS[gone.session_id]
                try:
                    other.call("question")
                except TimeoutError:
                    return "gone"
                return "answered"

            gone.go_silent()
            assert client.call("ask") == "gone"
            assert gone.close_reason == "ping timeout"

    def test_an_answer_in_time_calls_the_callback(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        answers: list[Any] = []

        @registry.on("ask")
        def ask(request: Any, socket: Any, context: Any) -> None:
            socket.emit("question", callback=answers.append, timeout=10)

        client.emit("ask")
        client.clock.advance(9)
        client.acknowledge("question", "in time")
        assert answers == ["in time"]

        client.emit("ask")
        client.clock.advance(10)
        client.acknowledge("question", "too late")
        assert answers == ["in time"]

    def test_a_client_that_is_silent_is_given_up(
        self, log: list[str], client: SocketIOClient
    ) -> None:
        client.go_silent()
        client.clock.advance(44)
        assert client.connected

        client.clock.advance(1)
        assert not client.connected
        assert client.close_reason == "ping timeout"
        assert log == ["connect", "disconnect: ping timeout", "finish"]

    def test_the_settings_say_when(self, registry: Registry, settings: Settings) -> None:
        settings.SOCKETIO_PING_INTERVAL = 3
        settings.SOCKETIO_PING_TIMEOUT = 2
        with SocketIOClient(registry=registry) as client:
            client.go_silent()
            client.clock.advance(4)
            assert client.connected
            client.clock.advance(1)
            assert not client.connected

    def test_one_that_is_not_stays_for_as_long_as_it_likes(self, client: SocketIOClient) -> None:
        client.clock.advance(86_400)
        assert client.connected
        client.assert_received_nothing()

    def test_nothing_reaches_or_leaves_one_that_is_silent(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        messages = []

        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            messages.append(message)

        client.go_silent()
        client.send("hello?")
        socketio_server.broadcast("hello?")

        assert messages == []
        client.assert_received_nothing()
        with pytest.raises(TimeoutError):
            client.call("message", "hello?")

    def test_it_is_the_same_for_all_clients(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        with SocketIOClient(registry=registry) as other:
            other.go_silent()
            clock.advance(30)
            assert client.clock.now == other.clock.now == clock.now == 30
            clock.advance(15)

            assert client.connected
            assert not other.connected

    def test_it_does_not_go_back(self, client: SocketIOClient) -> None:
        with pytest.raises(ValueError, match="back"):
            client.clock.advance(-1)

    def test_it_begins_anew_when_all_have_gone(self, registry: Registry) -> None:
        with SocketIOClient(registry=registry) as client:
            client.clock.advance(10)
        with SocketIOClient(registry=registry) as client:
            assert client.clock.now == 0

    def test_it_begins_anew_when_the_server_has_disconnected_all(self, registry: Registry) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            socket.disconnect()

        with SocketIOClient(registry=registry) as client:
            client.clock.advance(10)
            client.send("disconnect me")
            assert clock.now == 0

    def test_what_it_sets_off_may_raise(self, registry: Registry, client: SocketIOClient) -> None:
        @registry.on_disconnect
        def disconnect(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("oops")

        client.go_silent()
        with pytest.raises(ValueError, match="oops"):
            client.clock.advance(45)


class TestNamespaces:
    @pytest.fixture(autouse=True)
    def _handlers(self, registry: Registry) -> None:
        @registry.on_message(namespace="/admin")
        def message(request: Any, socket: Any, context: Any, message: Any) -> str:
            socket.broadcast(message)
            return f"in {socket.namespace}"

    def test_a_client_joins_the_one_that_it_names(self, registry: Registry) -> None:
        with SocketIOClient(registry=registry, namespace="/admin", auth={"a": 1}) as client:
            assert client.call("message", "hi") == "in /admin"
            assert CLIENTS[client.session_id][1].auth == {"a": 1}

    def test_clients_of_others_hear_nothing(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        with (
            SocketIOClient(registry=registry, namespace="/admin") as a,
            SocketIOClient(registry=registry, namespace="/admin") as b,
        ):
            a.send({"file": b"data"})

            a.assert_received_nothing()
            b.assert_received({"file": b"data"})
            client.assert_received_nothing()

    def test_one_without_handlers_refuses(self, registry: Registry) -> None:
        with pytest.raises(ConnectionRefused, match="Invalid namespace"):
            SocketIOClient(registry=registry, namespace="/nowhere").connect()

    def test_acknowledgements_and_the_end_are_its_own(self, registry: Registry) -> None:
        seen: list[Any] = []

        @registry.on("ask", namespace="/admin")
        def ask(request: Any, socket: Any, context: Any) -> None:
            seen.append(socket.call("question", timeout=1))

        @registry.on_disconnect(namespace="/admin")
        def disconnect(request: Any, socket: Any, context: Any) -> None:
            seen.append(socket.close_reason)

        with SocketIOClient(registry=registry, namespace="/admin") as client:
            client.on("question", b"yes")
            client.emit("ask")

        assert seen == [b"yes", "client namespace disconnect"]


class TestSeveralClients:
    def test_they_hear_each_other(self, registry: Registry) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            socket.broadcast(message)

        with SocketIOClient(registry=registry) as a, SocketIOClient(registry=registry) as b:
            a.send("from a")
            b.send("from b")

            a.assert_received("from b")
            b.assert_received("from a")

    def test_each_has_the_handlers_of_its_own_registry(self, registry: Registry) -> None:
        @registry.on("name")
        def name(request: Any, socket: Any, context: Any) -> str:
            return "one"

        other = Registry()

        @other.on("name")
        def other_name(request: Any, socket: Any, context: Any) -> str:
            return "other"

        with SocketIOClient(registry=registry) as a, SocketIOClient(registry=other) as b:
            assert a.call("name") == "one"
            assert b.call("name") == "other"

    def test_views_reach_them(
        self, registry: Registry, settings: Settings, client: SocketIOClient
    ) -> None:
        settings.ROOT_URLCONF = __name__
        with SocketIOClient(registry=registry) as other:
            Client().get("/announce/", {"text": "news"})

            client.assert_received("news")
            other.assert_received("news")

    def test_messages_and_events_from_outside_reach_whom_they_are_for(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        with SocketIOClient(registry=registry) as other:
            other.subscribe("room-1")
            socketio_server.send(client.session_id, "to you")
            socketio_server.broadcast_channel("to the room", "room-1")
            socketio_server.emit("to the others", skip=[client.session_id])

            client.assert_received("to you")
            other.assert_received("to the room", ("to the others",))

    def test_when_they_have_gone_nobody_is_there(self, registry: Registry) -> None:
        with SocketIOClient(registry=registry):
            socketio_server.broadcast("hello?")
        with pytest.raises(NoSocket):
            socketio_server.broadcast("hello?")

    def test_the_events_of_each_are_handled_one_after_another(self, registry: Registry) -> None:
        log: list[str] = []

        @registry.on("begin")
        def begin(request: Any, socket: Any, context: Any) -> None:
            log.append("begin")
            socketio_server.emit("begun")
            socket.emit("confirm", callback=lambda: log.append("confirmed"))
            log.append("begun")

        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            log.append(message)

        with SocketIOClient(registry=registry) as client:
            client.on("confirm", lambda: client.send("sent before the answer"))
            client.emit("begin")

        assert log == ["begin", "begun", "sent before the answer", "confirmed"]


def count_events(call_next: CallNext) -> CallNext:
    """Middleware that has a state, and answers with it."""
    count = 0

    def middleware(call: EventCall) -> Any:
        nonlocal count
        count += 1
        return (call_next(call), count)

    return middleware


class TestMiddlewareAroundEvents:
    def test_it_is_the_settings_and_the_same_for_all_clients(
        self, registry: Registry, settings: Settings
    ) -> None:
        @registry.on("name")
        def name(request: Any, socket: Any, context: Any) -> str:
            return "a name"

        settings.SOCKETIO_MIDDLEWARE = [f"{__name__}.count_events"]
        with SocketIOClient(registry=registry) as a, SocketIOClient(registry=registry) as b:
            assert a.call("name") == ("a name", 3)  # the first two were their connections
            assert b.call("name") == ("a name", 4)


class TestNothingIsLeftBehind:
    """A test that forgets its client does not disturb the next one."""

    def test_a_client_that_was_forgotten_is_gone(self, registry: Registry, log: list[str]) -> None:
        forgotten = SocketIOClient(registry=registry)
        forgotten.connect()
        forgotten.subscribe("room-1")
        socket = CLIENTS[forgotten.session_id][1]
        with pytest.warns(ResourceWarning, match="never disconnected"):
            del forgotten

        assert not socket.connected()
        assert len(CLIENTS) == 0
        assert dict(CHANNELS) == {}
        assert log == ["connect", "subscribe room-1"]  # its handlers would run in another test
        assert clock.now == 0

    def test_one_that_a_failed_test_keeps_alive_goes_when_the_next_connects(
        self, registry: Registry, log: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forgotten = SocketIOClient(registry=registry)
        forgotten.connect()
        monkeypatch.setenv("PYTEST_CURRENT_TEST", "the next test (setup)")
        with SocketIOClient(registry=registry) as of_a_fixture:
            assert list(CLIENTS) == [of_a_fixture.session_id]
            monkeypatch.setenv("PYTEST_CURRENT_TEST", "the next test (call)")
            with SocketIOClient(registry=registry) as client:
                assert list(CLIENTS) == [of_a_fixture.session_id, client.session_id]

        assert not forgotten.connected
        assert log.count("connect") == 3
        assert log.count("finish") == 2  # its handlers would run in another test

    def test_one_that_the_server_disconnected_need_not_be(self, registry: Registry) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            socket.disconnect()

        client = SocketIOClient(registry=registry)
        client.connect()
        client.send("hi")
        del client  # a warning would fail this test

        assert len(CLIENTS) == 0

    def test_the_server_waits_in_real_time_again(self, registry: Registry) -> None:
        usual = CLIENTS.timekeeper
        with SocketIOClient(registry=registry), SocketIOClient(registry=registry):
            assert CLIENTS.timekeeper is not usual
        assert CLIENTS.timekeeper is usual

    def test_the_view_serves_no_more(self, registry: Registry) -> None:
        with SocketIOClient(registry=registry):
            response = Client().get("/socket.io/", {"EIO": "4", "transport": "polling"})
        assert response.status_code == 503


def create_users_table() -> None:
    """Create it in the test's transaction: the demo's database has no tables."""
    from django.contrib.auth.models import User

    sql, params = connection.schema_editor().table_sql(User)
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


@pytest.mark.django_db
class TestTheDatabase:
    """Handlers work in the test's own transaction, on its own connection."""

    @pytest.fixture(autouse=True)
    def _users(self) -> Iterator[None]:
        with override_settings(**WITH_USERS):
            create_users_table()
            yield

    def test_handlers_see_what_the_test_wrote_and_the_test_what_they_wrote(
        self, registry: Registry
    ) -> None:
        from django.contrib.auth.models import User

        @registry.on("rename")
        def rename(request: Any, socket: Any, context: Any, name: str) -> int:
            return User.objects.filter(username="ann").update(username=name)

        User.objects.create(username="ann")
        with SocketIOClient(registry=registry) as client:
            assert client.call("rename", "anne") == 1

        assert User.objects.get().username == "anne"

    def test_the_user_is_logged_in(self, registry: Registry) -> None:
        from django.contrib.auth.models import User

        @registry.on("who am I?")
        def name(request: Any, socket: Any, context: Any) -> str:
            username: str = request.user.username
            return username

        ann = User.objects.create(username="ann")
        with (
            SocketIOClient(registry=registry, user=ann) as client,
            SocketIOClient(registry=registry) as stranger,
        ):
            assert client.call("who am I?") == "ann"
            assert stranger.call("who am I?") == ""

    def test_a_client_that_is_given_is_logged_in_too(self, registry: Registry) -> None:
        from django.contrib.auth.models import User

        http = Client()
        with SocketIOClient(
            registry=registry, client=http, user=User.objects.create(username="ann")
        ):
            assert "_auth_user_id" in http.session

    def test_queries_can_be_counted(
        self, registry: Registry, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        from django.contrib.auth.models import User

        @registry.on("count")
        def count(request: Any, socket: Any, context: Any) -> int:
            return User.objects.count() + User.objects.filter(is_staff=True).count()

        with SocketIOClient(registry=registry) as client, django_assert_num_queries(2):
            client.call("count")


@override_settings(**WITH_USERS)
class TestInADjangoTestCase(TestCase):
    """``TestCase``, with data for the class and a transaction for each test."""

    registry = Registry()
    ann: Any

    @classmethod
    def setUpTestData(cls) -> None:
        from django.contrib.auth.models import User

        create_users_table()
        cls.ann = User.objects.create(username="ann")

    def setUp(self) -> None:
        self.socket = self.enterContext(SocketIOClient(user=self.ann, registry=self.registry))

    @staticmethod
    @registry.on("promote")
    def promote(request: Any, socket: Any, context: Any) -> None:
        request.user.is_staff = True
        request.user.save()

    def test_what_handlers_write_is_there(self) -> None:
        assert not self.ann.is_staff
        self.socket.call("promote")
        self.ann.refresh_from_db()
        assert self.ann.is_staff

    def test_and_rolled_back_after_each_test(self) -> None:
        self.test_what_handlers_write_is_there()


class TestTheProjectsHandlers:
    def test_are_the_ones_that_run_unless_others_are_given(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(events.on_message, "registrations", [])

        @events.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> str:
            return "the project's"

        with SocketIOClient() as client:
            assert client.call("message") == "the project's"
