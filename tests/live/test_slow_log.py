"""A log whose handlers wait for ever, or raise: no client feels it."""

import socket
from pathlib import Path

import pytest

from tests.support.project import make_project
from tests.support.server import Server
from tests.support.tools import PATIENCE, wait_until
from tests.support.types import Connect, StartServer
from tests.support.views import stats

PROJECT = {
    "events.py": """\
from socketio_server import events


@events.on_message
def echo(request, socket, context, message):
    socket.send(message)
    return message
""",
    "bad_handlers.py": """\
import logging

import gevent


class Waiting(logging.Handler):
    def emit(self, record):
        gevent.sleep(1000)


class Raising(logging.Handler):
    def emit(self, record):
        raise RuntimeError("the log is down")
""",
}

STRANGERS = 40


def logging_by(name: str) -> dict[str, object]:
    """Return settings that log everything with one of the bad handlers."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"bad": {"class": f"bad_handlers.{name}"}},
        "loggers": {
            each: {"handlers": ["bad"], "level": "DEBUG", "propagate": False}
            for each in ("django.server", "socketio_server")
        },
    }


@pytest.fixture(params=["Waiting", "Raising"])
def site(request: pytest.FixtureRequest, start_server: StartServer, tmp_path: Path) -> Server:
    """A server with such a log, and heartbeats that a test can wait for."""
    settings = {
        "LOGGING": logging_by(request.param),
        "SOCKETIO_PING_INTERVAL": 0.2,
        "SOCKETIO_PING_TIMEOUT": 1.0,
        "SOCKETIO_CLOSE_TIMEOUT": 0.5,
    }
    return start_server(manage=make_project(tmp_path, PROJECT), settings=settings)


def send_malformed_head(server: Server, number: int) -> None:
    """Send what is no request, from an address of its own, and read the answer to its end."""
    with socket.create_connection(
        server.address, timeout=PATIENCE, source_address=(f"127.0.0.{number}", 0)
    ) as stranger:
        stranger.sendall(b"no request\r\n\r\n")
        assert stranger.recv(100).startswith(b"HTTP/1.1 400 ")
        while stranger.recv(100):
            pass


class TestALogThatWaitsOrRaises:
    def test_keeps_no_connection_of_malformed_requests(self, site: Server) -> None:
        for number in range(2, 2 + STRANGERS):
            send_malformed_head(site, number)
        wait_until(lambda: stats(site)["connections"] == 1, "the connections to be gone")
        assert stats(site)["refusals"]["http"] == STRANGERS

    def test_keeps_no_client_that_answers_no_heartbeat(
        self, site: Server, connect: Connect
    ) -> None:
        client = connect(to=site)
        assert stats(site)["sessions"] == 1
        # It reads nothing from here on, and answers no ping.
        wait_until(lambda: stats(site)["sessions"] == 0, "the session to end")
        wait_until(lambda: stats(site)["connections"] == 1, "the connection to end")
        client.close()

    def test_delays_nobody_and_not_the_end_of_the_server(
        self, site: Server, connect: Connect
    ) -> None:
        send_malformed_head(site, 2)
        client = connect(to=site)
        assert client.call("message", "hello") == "hello"
        assert site.stop() == 0
