"""A site that goes live, or moves here: how-to guides, followed as in ``test_how_to_messages``."""

import gzip
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import pytest

from socketio_server.net.refusals import RefusalKind
from socketio_server.net.statistics import Snapshot
from tests.docs.conftest import Connect, RunScript, Serve
from tests.docs.pages import code, page
from tests.docs.project import Project
from tests.docs.requests import get
from tests.docs.scripts import script_of
from tests.support.server import Server
from tests.support.tools import wait_until


class ReportServer(ThreadingHTTPServer):
    """Takes what Sentry's package reports, and keeps the events."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ReportHandler)
        self.events: list[dict[str, Any]] = []
        self._thread = Thread(target=self.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class ReportHandler(BaseHTTPRequestHandler):
    """Takes an envelope: lines of JSON, the head of each item before the item."""

    server: ReportServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        items = [json.loads(line) for line in body.splitlines() if line.startswith(b"{")]
        self.server.events.extend(item for item in items if "exception" in item)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class TestSentry:
    PAGE = "docs/how-to/sentry.md"

    def test_an_exception_of_a_handler_is_reported_once_with_the_request(
        self, tutorial: Project, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ReportServer() as reports:
            monkeypatch.setenv("SENTRY_DSN", f"http://key@127.0.0.1:{reports.server_port}/1")
            project = tutorial.copy(tmp_path / "project")
            project.follow(page(self.PAGE))
            server = project.serve()
            try:
                connect(server).emit("divide", 1, 0)
                wait_until(lambda: bool(reports.events), "a report")
            finally:
                server.stop()
        (event,) = reports.events
        assert event["exception"]["values"][-1]["type"] == "ZeroDivisionError"
        assert event["transaction"] == "divide"
        assert event["request"]["url"].startswith(f"{server.url}socket.io/?")
        assert event["user"] == {"id": None}


class TestStaticFiles:
    PAGE = "docs/how-to/static-files.md"

    def test_pages_get_their_scripts(self, serve: Serve) -> None:
        serve.project(self.PAGE).manage("collectstatic", "--noinput")
        server = serve(self.PAGE)
        found = re.findall(r'src="/([^"]+)"', get(server, ""))
        assert len(found) == 2
        for path in found:
            assert re.search(r"\.[0-9a-f]{12}\.js$", path)
            with urllib.request.urlopen(server.url + path, timeout=20) as response:
                assert "immutable" in response.headers["Cache-Control"]
                assert response.read()

    def test_a_client_connects(self, serve: Serve, run_script: RunScript) -> None:
        serve.project(self.PAGE).manage("collectstatic", "--noinput")
        text = 'io().on("connect", () => console.log("connected"));'
        run_script(serve(self.PAGE), text).wait_for(["connected"])


class TestMonitoring:
    PAGE = "docs/how-to/monitoring.md"

    def metrics(self, server: Server, headers: dict[str, str] | None = None) -> str:
        """Return what an exporter reads."""
        request = urllib.request.Request(server.url + "metrics/", headers=headers or {})
        with urllib.request.urlopen(request, timeout=20) as response:
            text: str = response.read().decode()
            return text

    def test_an_exporter_reads_all_counters(self, serve: Serve, connect: Connect) -> None:
        server = serve(self.PAGE)
        client = connect(server)
        client.subscribe("")
        first, *lines = self.metrics(server).splitlines()
        assert first == "socketio_servers_missing 0"
        labels = re.fullmatch(r'socketio_connections\{(server="[\w.-]+")\} \d+', lines[0])
        assert labels is not None
        (label,) = labels.groups()
        names = Snapshot.__required_keys__ - {"refusals"}  # without a broker
        found = {line.partition(" ")[0] for line in lines[:-1]}
        assert found == {f"socketio_{name}{{{label}}}" for name in names}
        assert f"socketio_sockets{{{label}}} 1" in lines
        assert lines[-1] == f'socketio_refusals{{{label},kind="channel"}} 1'

    def test_nobody_else_does(self, serve: Serve) -> None:
        with pytest.raises(urllib.error.HTTPError) as caught:
            self.metrics(serve(self.PAGE), {"X-Forwarded-For": "203.0.113.1"})
        assert caught.value.code == 403
        caught.value.close()

    def test_every_kind_of_refusal_is_there(self) -> None:
        kinds = {code(row[0]) for row in page(self.PAGE).rows}
        assert kinds == set(RefusalKind)


class TestAnotherPortOrHost:
    """What pages on another port of the same host can do is in ``test_another_port``."""

    PAGE = "docs/how-to/another-port-or-host.md"
    HANDSHAKE = "live/socket.io/?EIO=4&transport=polling"

    def status(self, server: Server, host: str, origin: str) -> int:
        """Return how a handshake for a host from a page of some origin is answered."""
        request = urllib.request.Request(
            server.url + self.HANDSHAKE, headers={"Host": host, "Origin": origin}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def test_pages_that_are_listed_may_connect_to_the_hosts_that_are_listed(
        self, serve: Serve
    ) -> None:
        server = serve(self.PAGE)
        assert self.status(server, "live.example.com", "https://www.example.com") == 200
        assert self.status(server, "live.example.com", "https://live.example.com") == 200

    def test_other_pages_may_not(self, serve: Serve) -> None:
        server = serve(self.PAGE)
        assert self.status(server, "live.example.com", "https://evil.example") == 403
        assert self.status(server, "live.example.com", "https://www.example.com:8000") == 403
        assert self.status(server, "evil.example", "https://www.example.com") in (400, 403)


class TestMovingFromChannels:
    PAGE = "docs/how-to/moving-from-channels.md"

    def test_its_page_hears_itself(self, serve: Serve, run_script: RunScript) -> None:
        run_script(serve(self.PAGE), script_of(self.PAGE)).wait_for(["Hello."])

    def test_a_room_hears_its_own(self, serve: Serve, connect: Connect) -> None:
        server = serve(self.PAGE)
        ann, bob, eve = (connect(server) for _ in range(3))
        assert ann.subscribe("chat-a") is True
        assert bob.subscribe("chat-a") is True
        assert eve.subscribe("chat-b") is True
        assert eve.subscribe("chat-" + "x" * 21) == {"error": "Permission denied"}
        eve.emit("chat_message", "a", "from outside")
        eve.emit("chat_message", "b", "alone")
        assert eve.next_event() == ["chat_message", "alone"]
        ann.emit("chat_message", "a", "Hi.")
        assert bob.next_event() == ["chat_message", "Hi."]
        assert get(server, "close/b/") == "Sent."
        assert eve.next_event() == ["chat_message", "We are closing."]


class TestMovingFromDjangoSocketio:
    PAGE = "docs/how-to/moving-from-django-socketio.md"

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        run_script(serve(self.PAGE), script_of(self.PAGE)).wait_for(["connected", "an array"])

    def test_its_handlers_run_by_their_channels(self, serve: Serve, connect: Connect) -> None:
        client = connect(serve(self.PAGE))
        client.send("before")
        client.subscribe("dashboard")
        client.send("after")
        assert client.next_messages(2) == ["before", {"dashboard": "after"}]

    def test_all_names_of_the_table_exist(self) -> None:
        for old, new in page(self.PAGE).rows:
            if "import" in new:
                exec(new.strip("`"))
            assert "django_socketio" in old or new == "the same", old

    def test_a_port_as_text_is_named_by_check(self, serve: Serve, tmp_path: Path) -> None:
        project = serve.project(self.PAGE).copy(tmp_path / "project")
        with (project.folder / "mysite" / "settings.py").open("a") as settings:
            settings.write('SOCKETIO_PORT = "9000"\n')
        with pytest.raises(AssertionError, match=r"socketio_server\.E001.*SOCKETIO_PORT"):
            project.manage("check")
