"""Rights that are lost in one process are revoked in all: two servers, and a Redis between them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client import Client, ConnectError
from tests.support.http import Http
from tests.support.redis import RedisServer
from tests.support.server import MANAGE, Configuration, Server
from tests.support.tools import PATIENCE
from tests.support.types import Connect, StartServer
from tests.support.views import log_in, outside

EVENTS = ["tests.project.handlers.guarding", "tests.project.handlers.users"]


@pytest.fixture(scope="module")
def servers(
    redis: RedisServer, share_server: StartServer, database: dict[str, str]
) -> tuple[Server, Server]:
    """Two servers of one cluster, which share a database, and learn of rights by signals only."""
    one, two = (
        share_server(
            settings={
                "SOCKETIO_BROKER_URL": redis.url,
                "SOCKETIO_EVENTS": EVENTS,
                "SOCKETIO_RECHECK_INTERVAL": 0,
            },
            environment={**database, "TEST_PURPOSE": f"revocations {name}"},
        )
        for name in ("one", "two")
    )
    return one, two


@pytest.fixture
def run_in_shell(
    redis: RedisServer, database: dict[str, str], tmp_path: Path
) -> Callable[..., None]:
    """Run lines of code in ``manage.py shell``, a process without a server."""

    def run(*lines: str) -> None:
        settings = {"SOCKETIO_BROKER_URL": redis.url, "SOCKETIO_EVENTS": []}
        configuration = Configuration(tmp_path, settings=settings, environment=database)
        subprocess.run(
            [sys.executable, str(MANAGE), "shell", "-c", "\n".join(lines)],
            env=configuration.variables,
            cwd=configuration.started_in,
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )

    return run


@pytest.fixture(scope="module")
def pages(redis: RedisServer, share_server: StartServer, database: dict[str, str]) -> Server:
    """A WSGI server of the same project, for its pages: it serves no Socket.IO."""
    return share_server(
        gunicorn=("tests.project.wsgi", "--bind", "127.0.0.1:0"),
        settings={"SOCKETIO_BROKER_URL": redis.url, "SOCKETIO_EVENTS": []},
        environment={**database, "TEST_PURPOSE": "revocations pages"},
    )


def assert_ended(client: Client) -> None:
    """Wait until a client has heard why its connection ends, and has lost it."""
    assert client.next_event() == ["__disconnected__", "Please log in."]
    client.wait_until(lambda: client.disconnected)


class TestLoggingOutInOneProcess:
    def test_disconnects_the_session_s_clients_of_another_and_lets_none_back(
        self, servers: tuple[Server, Server], connect: Connect
    ) -> None:
        here, elsewhere = (log_in(servers[0], "hal", colour="red") for _ in range(2))
        client = connect(to=servers[1], headers=here)
        other = connect(to=servers[1], headers=elsewhere)
        with Http(servers[0].address) as http:
            assert http.get("/logout/", here).text == "goodbye"

        assert_ended(client)
        with pytest.raises(ConnectError, match=r"Please log in\."):
            connect(to=servers[1], headers=here)
        assert other.call("who am I?") == "hal"

    def test_does_so_before_its_answer_is_read(
        self, servers: tuple[Server, Server], connect: Connect
    ) -> None:
        lea = log_in(servers[0], "lea", colour="red")
        client = connect(to=servers[0], headers=lea)
        with Http(servers[0].address) as http:
            http.send_request("GET", "/logout/?gate=lea", headers=lea)

            assert_ended(client)
            outside(servers[0], "open_gate", "lea")
            assert http.read_response().text == "goodbye"


class TestLoggingOutWhereAnotherServerHasThePages:
    def test_disconnects_the_session_s_clients_of_all_servers(
        self, servers: tuple[Server, Server], pages: Server, connect: Connect
    ) -> None:
        jan = log_in(pages, "jan", colour="red")
        clients = [connect(to=server, headers=jan) for server in servers]
        with Http(pages.address) as http:
            assert http.get("/logout/", jan).text == "goodbye"

        for client in clients:
            assert_ended(client)


class TestAPermissionThatAProcessWithoutAServerTakes:
    def test_is_taken_from_the_user_s_clients_of_all_servers(
        self, servers: tuple[Server, Server], connect: Connect, run_in_shell: Callable[..., None]
    ) -> None:
        cookies = [log_in(server, "ida", colour="red") for server in servers]
        find = (
            "from django.contrib.auth.models import Permission, User",
            "ida = User.objects.get(username='ida')",
            "permission = Permission.objects.get(codename='view_user')",
        )
        run_in_shell(*find, "ida.user_permissions.add(permission)")
        clients = [
            connect(to=server, headers=headers)
            for server, headers in zip(servers, cookies, strict=True)
        ]
        assert [client.subscribe("staff") for client in clients] == [True, True]

        run_in_shell(*find, "ida.user_permissions.remove(permission)")
        for client in clients:
            assert client.next_event() == ["__unsubscribed__", "staff", "Permission denied"]
            assert client.subscribe("staff") == {"error": "Permission denied"}
