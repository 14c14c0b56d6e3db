"""The access log: a line for each request."""

import logging
from collections.abc import Iterator

import pytest

from socketio_server.http.access_log import level_of, log_access
from socketio_server.net.log import MAX_LOGGED
from socketio_server.protocol.http1.requests import Head, parse_head


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged to Django's logger, which passes nothing on."""
    logger = logging.getLogger("django.server")
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger.name)
    yield caplog
    logger.removeHandler(caplog.handler)


def head_of(target: str) -> Head:
    """Return the head of a request."""
    return parse_head(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())


class TestTheLine:
    def test_has_request_status_and_size(self, log: pytest.LogCaptureFixture) -> None:
        log_access(head_of("/a"), 200, 5, logging.INFO)
        assert log.messages == ['"GET /a HTTP/1.1" 200 5']

    def test_has_a_dash_where_nothing_was_answered(self, log: pytest.LogCaptureFixture) -> None:
        log_access(head_of("/a"), 0, 0, logging.INFO)
        assert log.messages == ['"GET /a HTTP/1.1" - 0']

    def test_says_that_an_answer_was_cut_off(self, log: pytest.LogCaptureFixture) -> None:
        log_access(head_of("/a"), 200, 5, logging.INFO, complete=False)
        assert log.messages == ['"GET /a HTTP/1.1" 200 5 (cut off)']

    def test_keeps_the_session_s_secret(self, log: pytest.LogCaptureFixture) -> None:
        log_access(head_of("/socket.io/?EIO=4&sid=secret&t=1"), 200, 5, logging.INFO)
        assert log.messages == ['"GET /socket.io/?EIO=4&sid=…&t=1 HTTP/1.1" 200 5']

    def test_is_bounded(self, log: pytest.LogCaptureFixture) -> None:
        log_access(head_of("/" + "a" * 5000), 200, 5, logging.INFO)
        assert len(log.messages[0]) == len(f'"{"x" * MAX_LOGGED}…" 200 5')


class TestTheLevel:
    @pytest.mark.parametrize(
        ("status", "level"),
        [
            (200, logging.INFO),
            (399, logging.INFO),
            (400, logging.WARNING),
            (499, logging.WARNING),
            (500, logging.ERROR),
        ],
    )
    def test_is_the_status_s(self, status: int, level: int) -> None:
        assert level_of(status) == level
