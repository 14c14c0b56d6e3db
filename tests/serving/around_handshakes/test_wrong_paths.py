"""Clients that ask for Socket.IO at another path."""

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from socketio_server.http.engine_requests import PATH_KEY
from socketio_server.serving.around_handshakes import wrong_paths

CLIENT = {"EIO": "4", "transport": "polling"}


def make_site(status: int = 404) -> Any:
    """Return a watched site that answers all requests with a status."""
    return wrong_paths.watch(lambda environ, start: HttpResponse(status=status), "/socket.io/")


def ask(site: Any, path: str, params: dict[str, str]) -> int:
    """Send a GET request; return the answer's status."""
    environ = RequestFactory().get("/", params).environ | {PATH_KEY: path}
    return int(site(environ, lambda status, headers: None).status_code)


class TestAClientThatFindsNothing:
    def test_is_told_once_with_both_paths(self, caplog: pytest.LogCaptureFixture) -> None:
        site = make_site()
        for _ in range(3):
            assert ask(site, "/sockets/", CLIENT) == 404

        assert caplog.messages == [
            "A Socket.IO client asks for '/sockets/'; Socket.IO is at '/socket.io/': correct the "
            "client's `path` (said once)"
        ]

    def test_can_not_fill_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        site = make_site()
        for number in range(2 * wrong_paths.MAX_PATHS):
            ask(site, f"/{number}\n{'x' * 10_000}", CLIENT)

        assert len(caplog.messages) == wrong_paths.MAX_PATHS
        assert all("\n" not in line and len(line) < 1000 for line in caplog.messages)


class TestNothingIsTold:
    @pytest.mark.parametrize(
        ("path", "params", "status"),
        [
            pytest.param("/sockets/", {}, 404, id="of a missing page"),
            pytest.param("/sockets/", {"transport": "bus"}, 404, id="of a page with parameters"),
            pytest.param("/sockets/", CLIENT, 200, id="of a path where something is"),
            pytest.param("/socket.io/", CLIENT, 404, id="of our own path"),
        ],
    )
    def test_(
        self, caplog: pytest.LogCaptureFixture, path: str, params: dict[str, str], status: int
    ) -> None:
        assert ask(make_site(status), path, params) == status
        assert caplog.messages == []
