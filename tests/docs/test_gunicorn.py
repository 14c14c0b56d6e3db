"""The page on gunicorn, tried as it stands, but for its ports: its command, and its nginx."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import page
from tests.docs.project import Project
from tests.support.http import Http
from tests.support.nginx import nginx
from tests.support.server import Address, Server
from tests.support.tools import free_port, wait_until
from tests.support.types import StartServer
from tests.support.wire import Polling

GUNICORN = page("docs/how-to/gunicorn.md")
ADDRESS = "127.0.0.1:9000"
MACHINES = {"a": "10.0.0.1:9000", "b": "10.0.0.2:9000"}
"""The machines on the page, and where they are."""


def test_its_command_serves_the_site(tutorial: Project, tmp_path: Path) -> None:
    project = tutorial.copy(tmp_path / "project")
    project.follow(GUNICORN)
    (block,) = GUNICORN.of("sh")
    (command,) = (line for line in block.text.splitlines() if line.startswith("gunicorn "))
    assert ADDRESS in command
    arguments = shlex.split(command.replace(ADDRESS, "127.0.0.1:0"))[1:]
    server = project.serve_by_gunicorn(*arguments)
    try:
        with Http(server.address) as http:
            assert http.get("/").status == 200
        workers: set[str] = set()

        def are_all_there() -> bool:
            session = Polling(server.address)
            session.send("40")
            assert session.receive()[0].startswith("40")
            session.close()
            workers.add(session.handshake["sid"].partition(".")[0])
            return len(workers) == int(arguments[arguments.index("-w") + 1])

        wait_until(are_all_there, "all workers")
    finally:
        assert server.stop() == 0


class TestItsMap:
    @pytest.fixture
    def machines(self, start_server: StartServer) -> dict[str, Server]:
        return {name: start_server(settings={"SOCKETIO_NODE": name}) for name in MACHINES}

    @pytest.fixture
    def proxy(self, machines: dict[str, Server], tmp_path: Path) -> Iterator[Address]:
        (block,) = GUNICORN.of("nginx")
        text = block.text
        for name, address in MACHINES.items():
            text = text.replace(address, f"127.0.0.1:{machines[name].address[1]}")
        port = free_port()
        site = f"""
            {text}
            server {{
                listen 127.0.0.1:{port};
                location /socket.io/ {{
                    proxy_pass http://$socketio_machine;
                    proxy_set_header Host $http_host;
                }}
            }}
        """
        proxy = ("127.0.0.1", port)

        def answers() -> bool:
            Http(proxy).close()
            return True

        with nginx(tmp_path, site, answers):
            yield proxy

    def test_sends_each_client_to_the_machine_of_its_session(
        self, machines: dict[str, Server], proxy: Address
    ) -> None:
        for name, server in machines.items():
            host = {"Host": f"127.0.0.1:{proxy[1]}"}
            session = Polling(server.address, headers=host)
            assert session.handshake["sid"].startswith(f"{name}-")
            with Http(proxy) as http:
                assert http.post(session.target, "40").text == "ok"
                assert http.get(session.target).text.startswith("40")
            session.close()
