"""A whole server, put together: what it needs before it starts."""

import resource
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from socketio_server.options import Options
from socketio_server.serving.server import Server, limit_connections
from tests.support.tools import PATIENCE


class TestAnUnpatchedProcess:
    def test_runs_no_server_and_is_told_what_to_do(self) -> None:
        with pytest.raises(ImproperlyConfigured) as raised:
            Server(None, [("127.0.0.1", 0)], Options())

        said = str(raised.value)
        assert said.startswith("gevent has not patched the standard library: ")
        assert "python manage.py runserver_socketio" in said
        assert "monkey.patch_all()" in said


def output_of(script: str) -> str:
    """Run a script in a process of its own, and return its output."""
    process = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        encoding="utf-8",
        timeout=4 * PATIENCE,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


RUN_AND_STOP = """
from gevent import monkey

monkey.patch_all()

import django

django.setup()

from socketio_server.options import Options
from socketio_server.serving.server import Server
from socketio_server.sockets.this_process import CLIENTS

server = Server(None, [("127.0.0.1", 0)], Options())
server.start()
assert CLIENTS.output is server.engine.output
assert server.stop()
print(CLIENTS.output, type(CLIENTS.timekeeper).__name__)
"""


class TestAStoppedServer:
    def test_is_not_kept_alive_by_the_clients(self) -> None:
        assert output_of(RUN_AND_STOP) == "None NoTimekeeper\n"


SEND_DURING_THE_START = """
from gevent import monkey

monkey.patch_all()

import socket

import django
import gevent

django.setup()

import socketio_server
from socketio_server.options import Options
from socketio_server.serving.server import Server
from socketio_server.sockets.this_process import CLIENTS

silent = socket.create_server(("127.0.0.1", 0))  # connects, and answers nothing
url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
server = Server(None, [("127.0.0.1", 0)], Options(broker_url=url))
sender = gevent.spawn(socketio_server.emit, "news")
server.start()
assert sender.ready()
sender.get()
print(type(CLIENTS.broker).__name__)
server.stop()
"""


class TestAServerThatWaitsForRedis:
    def test_keeps_its_broker_when_something_is_sent_meanwhile(self) -> None:
        assert output_of(SEND_DURING_THE_START) == "RedisBroker\n"


class TestTheConnectionsOfAProcess:
    @pytest.mark.parametrize(
        ("descriptors", "connections"),
        [
            pytest.param(200, 160, id="no more than its descriptors allow"),
            pytest.param(1_000_000, 10_000, id="no more than the setting allows"),
            pytest.param(resource.RLIM_INFINITY, 10_000, id="descriptors without a limit"),
        ],
    )
    def test_are(self, descriptors: int, connections: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda which: (descriptors, descriptors))

        assert limit_connections(10_000) == connections
