"""The message log."""

import logging
import re
from collections.abc import Callable

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from socketio_server.options import DEFAULT_MESSAGE_LOG_FORMAT
from socketio_server.serving.around_events.hooks import DjangoHooks


@pytest.fixture
def request_(rf: RequestFactory) -> HttpRequest:
    return rf.get("/socket.io/", REMOTE_ADDR="10.0.0.1", HTTP_USER_AGENT="a browser")


@pytest.fixture
def log(request_: HttpRequest, caplog: pytest.LogCaptureFixture) -> Callable[..., str]:
    """Log a message; return the line."""

    def log(message: object = "hi", kind: str = "message", format_: str = "%(MESSAGE)s") -> str:
        DjangoHooks(format_).log_message(request_, kind, message)
        (record,) = caplog.records
        assert (record.name, record.levelname) == ("socketio_server.messages", "INFO")
        return record.getMessage()

    caplog.set_level(logging.INFO)
    return log


class TestMessageLog:
    def test_the_default_is_the_original_s_with_the_time_as_django_s_server_writes_it(
        self, log: Callable[..., str]
    ) -> None:
        line = log("hi", "message", DEFAULT_MESSAGE_LOG_FORMAT)

        assert re.fullmatch(
            r'10\.0\.0\.1 - - \[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] "Socket\.IO message: hi"', line
        )

    @pytest.mark.parametrize(
        ("format_", "line"),
        [
            ("%(TYPE)s", "subscribe"),
            ("%(HTTP_USER_AGENT)s %(REQUEST_METHOD)s", "a browser GET"),
            ("%(NO_SUCH_KEY)s|%(REMOTE_USER)s", "-|-"),
            ("100%% %(MESSAGE)s", "100% room"),
            ("no keys", "no keys"),
        ],
    )
    def test_the_format_has_the_keys_of_the_request_and_three_more(
        self, log: Callable[..., str], format_: str, line: str
    ) -> None:
        assert log("room", "subscribe", format_) == line

    @pytest.mark.parametrize(
        ("message", "line"),
        [
            ("plain", "plain"),
            ("été €😀", "été €😀"),
            ({"a": [1, None]}, "{'a': [1, None]}"),
            (None, "None"),
            ("two\nlines\r", r"two\nlines\r"),
            ("\x1b[31mred", r"\x1b[31mred"),
            ("\0\x7f\x9b", r"\x00\x7f\x9b"),
            ("\u2028\u202e", r"\u2028\u202e"),
            ("100% %s %(TIME)s", "100% %s %(TIME)s"),
            ("x" * 200, "x" * 200),
            ("x" * 201, "x" * 200 + "…"),
            ([1e15] * 1000, str([1e15] * 1000)[:200] + "…"),
            ({"a": "x" * 1000}, "{'a': '" + "x" * 193 + "…"),
        ],
    )
    def test_what_clients_send_is_escaped_and_cut(
        self, log: Callable[..., str], message: object, line: str
    ) -> None:
        assert log(message) == line

    def test_none_turns_it_off(
        self, request_: HttpRequest, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        hooks = DjangoHooks(None)
        hooks.log_message(request_, "message", "hi")

        assert caplog.records == []
        assert not hooks.logs_messages

    @pytest.mark.parametrize("format_", ["%(MESSAGE)d", "%(MESSAGE", "%", "%(MESSAGE)y"])
    def test_a_format_that_does_not_fit_raises_nothing(
        self, request_: HttpRequest, caplog: pytest.LogCaptureFixture, format_: str
    ) -> None:
        caplog.set_level(logging.INFO)
        DjangoHooks(format_).log_message(request_, "message", "hi")

        (record,) = caplog.records
        assert record.levelname == "ERROR"
        assert "SOCKETIO_MESSAGE_LOG_FORMAT" in record.getMessage()
