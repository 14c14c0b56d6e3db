"""Signals: what receivers get, and where Django hears of exceptions."""

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.signals import got_request_exception
from django.dispatch import Signal
from django.http import HttpRequest
from django.test import RequestFactory, override_settings
from django.utils.log import AdminEmailHandler

from socketio_server import signals
from socketio_server.serving.around_events.hooks import DjangoHooks
from socketio_server.sockets.socket import Socket
from tests.fakes.server import FakeServer


class Receiver:
    """Keeps what it is called with."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, **arguments: Any) -> None:
        arguments.pop("signal")
        self.calls.append(arguments)


class Mails(AdminEmailHandler):
    """Django's handler of the log that mails to ``ADMINS``; it keeps the mail."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []

    def send_mail(self, subject: Any, message: Any, *args: Any, **kwargs: Any) -> None:
        self.sent.append((subject, message))


@pytest.fixture
def server() -> FakeServer:
    server = FakeServer(hooks=DjangoHooks(None))

    @server.registry.on_message
    def message(request: object, socket: Any, context: object, message: str) -> None:
        if message == "raise":
            raise LookupError("the handler's")

    return server


def listen(signal: Signal) -> Iterator[Receiver]:
    receiver = Receiver()
    signal.connect(receiver)
    yield receiver
    signal.disconnect(receiver)


class TestReceivers:
    @pytest.fixture
    def receiver(self, request: pytest.FixtureRequest) -> Iterator[Receiver]:
        """A receiver of the signal that the test's parameter names."""
        yield from listen(getattr(signals, request.param))

    @pytest.mark.parametrize(
        ("receiver", "details"),
        [
            ("client_connected", {}),
            ("client_disconnected", {"reason": "transport close"}),
            ("channel_subscribed", {"channel": "room"}),
            ("channel_unsubscribed", {"channel": "room", "reason": "transport close"}),
        ],
        indirect=["receiver"],
    )
    def test_get_the_socket_its_namespace_and_request(
        self, server: FakeServer, receiver: Receiver, details: dict[str, object]
    ) -> None:
        request = HttpRequest()
        client = server.connect(request=request, channels=["room"])
        socket = client.socket
        client.leave()
        assert receiver.calls == [
            {
                "sender": Socket,
                "namespace": "/",
                "socket": socket,
                "request": request,
                **details,
            }
        ]

    @pytest.mark.parametrize("receiver", ["handler_failed"], indirect=True)
    def test_get_the_exception_of_a_handler(self, server: FakeServer, receiver: Receiver) -> None:
        server.connect().emit("message", "raise")
        (call,) = receiver.calls
        assert call["event"] == "on_message"
        assert isinstance(call["exception"], LookupError)

    @pytest.mark.parametrize("receiver", ["client_connected"], indirect=True)
    def test_hear_it_although_another_raises(
        self, server: FakeServer, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(**arguments: object) -> None:
            raise OSError

        signals.client_connected.connect(fail)
        try:
            client = server.connect()
        finally:
            signals.client_connected.disconnect(fail)
        assert len(receiver.calls) == 1
        assert client.socket.connected()
        assert [record.name for record in caplog.records] == ["django.dispatch"]


class TestDjangosOwnSignal:
    @pytest.fixture
    def receiver(self) -> Iterator[Receiver]:
        yield from listen(got_request_exception)

    def test_gets_the_request_once_in_a_while(
        self, server: FakeServer, receiver: Receiver, rf: RequestFactory
    ) -> None:
        request = rf.get("/")
        client = server.connect(request=request)
        client.emit("message", "raise")
        client.emit("message", "raise")
        assert receiver.calls == [{"sender": None, "request": request}]

    @pytest.mark.parametrize("event", ["message", "mistaken"])
    def test_is_sent_while_the_exception_is_handled(self, server: FakeServer, event: str) -> None:
        """Sentry and others ask the interpreter for it."""

        @server.registry.on("mistaken")
        def mistaken(request: object, socket: Any, context: object, message: str) -> object:
            return (each for each in message)

        found: list[object] = []

        def receive(**arguments: object) -> None:
            found.append(sys.exc_info()[0])

        got_request_exception.connect(receive)
        try:
            server.connect().emit(event, "raise")
        finally:
            got_request_exception.disconnect(receive)
        assert found == [LookupError if event == "message" else TypeError]


class TestTheLoggerOfRequests:
    def test_gets_the_exception_with_the_request(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture, rf: RequestFactory
    ) -> None:
        request = rf.get("/")
        server.connect(request=request).emit("message", "raise")
        (record,) = (each for each in caplog.records if each.name == "django.request")
        text = "Internal Server Error: Socket.IO event on_message in namespace /"
        assert record.getMessage() == text
        assert record.levelno == logging.ERROR
        assert record.exc_info is not None
        assert record.exc_info[0] is LookupError
        assert vars(record)["request"] is request

    @override_settings(DEBUG=True)
    def test_is_left_out_while_the_terminal_shows_it_anyway(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.connect().emit("message", "raise")
        assert [each.name for each in caplog.records] == ["socketio_server"]

    def test_mails_to_the_administrators(self, server: FakeServer, rf: RequestFactory) -> None:
        logger, handler = logging.getLogger("django.request"), Mails()
        logger.addHandler(handler)
        try:
            request = rf.get("/socket.io/", {"EIO": "4"})
            server.connect(request=request).emit("message", "raise")
        finally:
            logger.removeHandler(handler)
        ((subject, message),) = handler.sent
        assert "Socket.IO event on_message" in subject
        assert "the handler's" in message
        assert "/socket.io/?EIO=4" in message

    def test_may_have_a_handler_that_raises(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                raise OSError("the mail server is gone")

        errors: list[object] = []

        @server.registry.on_error
        def error(request: object, socket: Any, context: object, exception: object) -> None:
            errors.append(exception)

        logger, handler = logging.getLogger("django.request"), Broken()
        logger.addHandler(handler)
        try:
            server.connect().emit("message", "raise")
        finally:
            logger.removeHandler(handler)
        assert "The exception of a handler of on_message could not be reported" in caplog.messages
        assert len(errors) == 1
