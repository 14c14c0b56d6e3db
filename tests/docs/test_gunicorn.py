"""The page on gunicorn, tried as it stands, but for its ports: its command, and its proxies."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from socketio_server.options import Options
from tests.docs.pages import page
from tests.docs.project import Project, wait_for_all_workers
from tests.support.http import Http
from tests.support.nginx import nginx
from tests.support.server import Address, Server
from tests.support.tools import free_port
from tests.support.types import StartServer
from tests.support.wire import Polling

GUNICORN = page("docs/how-to/gunicorn.md")
ADDRESS = "127.0.0.1:9000"
MACHINES = {"a": "10.0.0.1:9000", "b": "10.0.0.2:9000"}
"""The machines on the page, and where they are."""
PROXY = "10.0.0.3"
"""The proxy on the page."""
SCHEME_VIEW = """
from django.http import HttpResponse

urlpatterns += [path("scheme/", lambda request: HttpResponse(request.scheme))]
"""


def test_its_command_serves_the_site(tutorial: Project, tmp_path: Path) -> None:
    project = tutorial.copy(tmp_path / "project")
    project.follow(GUNICORN)
    block, _ = GUNICORN.of("sh")
    (command,) = (line for line in block.text.splitlines() if line.startswith("gunicorn "))
    assert ADDRESS in command
    arguments = shlex.split(command.replace(ADDRESS, "127.0.0.1:0"))[1:]
    server = project.serve_by_gunicorn(*arguments)
    try:
        with Http(server.address) as http:
            assert http.get("/").status == 200
        wait_for_all_workers(server, arguments)
        (shown,) = GUNICORN.of("text")
        line = re.escape(shown.text.strip().replace("redis://localhost:6379/0 (connected)", "none"))
        server.wait_for_output(re.sub(r"\d+", r"\\d+", line))
    finally:
        assert server.stop() == 0


def test_the_command_of_a_machine_believes_its_proxy(tutorial: Project, tmp_path: Path) -> None:
    project = tutorial.copy(tmp_path / "project")
    project.follow(GUNICORN)
    project.replace("mysite/settings.py", PROXY, "127.0.0.1")
    with (project.folder / "mysite" / "urls.py").open("a", encoding="utf-8") as urls:
        urls.write(SCHEME_VIEW)
    _, block = GUNICORN.of("sh")
    text = block.text.replace(MACHINES["a"], "127.0.0.1:0").replace(PROXY, "127.0.0.1")
    node, _, *arguments = shlex.split(text)
    variable, _, name = node.partition("=")
    server = project.serve_by_gunicorn(*arguments, environment={variable: name})
    try:
        with Http(server.address) as http:
            assert http.get("/scheme/").text == "http"
            assert http.get("/scheme/", {"X-Forwarded-Proto": "https"}).text == "https"
        workers = wait_for_all_workers(server, arguments)
        assert all(worker.startswith(f"{name}-") for worker in workers)
    finally:
        assert server.stop() == 0


class TestItsProxy:
    @pytest.fixture
    def machines(self, start_server: StartServer) -> dict[str, Server]:
        return {name: start_server(settings={"SOCKETIO_NODE": name}) for name in MACHINES}

    @pytest.fixture
    def proxy(self, machines: dict[str, Server], tmp_path: Path) -> Iterator[Address]:
        (block,) = GUNICORN.of("nginx")
        text = block.text
        for name, address in MACHINES.items():
            assert address in text
            text = text.replace(address, f"127.0.0.1:{machines[name].address[1]}")
        port = free_port()
        site = f"""
            {text}
            server {{
                listen 127.0.0.1:{port};
                location /socket.io/ {{
                    proxy_pass http://$machine;
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

    def test_sends_new_clients_to_a_machine_that_is_there(
        self, machines: dict[str, Server], proxy: Address
    ) -> None:
        host = {"Host": f"127.0.0.1:{proxy[1]}"}
        lost = Polling(machines["a"].address, headers=host)
        machines["a"].kill()
        lost.cut()
        with Http(proxy) as http:
            assert http.post(lost.target, "40").status == 502
        for _ in range(3):
            session = Polling(proxy, headers=host)
            assert session.handshake["sid"].startswith("b-")
            session.send("40")
            assert session.receive()[0].startswith("40")
            session.close()

    def test_may_be_haproxy_with_the_same_machines(self) -> None:
        """What it does with them was tried by hand: ``haproxy`` is not needed for the tests."""
        (block,) = GUNICORN.of("haproxy")
        found = re.findall(r"^    server (\w+) (\S+)", block.text, re.MULTILINE)
        assert found == [*MACHINES.items()] * 2
        for name in MACHINES:
            rule = f"use_backend machine_{name} if {{ url_param(sid) -m beg {name}- }}"
            assert rule in block.text
            assert f"backend machine_{name}\n    server {name} " in block.text
        for timeout in ("client", "server", "tunnel"):
            (seconds,) = re.findall(rf"timeout {timeout} (\d+)s", block.text)
            assert int(seconds) > Options().ping_interval
