"""The page on deployment, tried as it stands: its settings, its gunicorn, its nginx over TLS, and a
browser.

Changed is only what depends on the machine: ports, files, and the certificate, which is made here.
"""

import json
import shlex
import ssl
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, expect

from socketio_server.options import Options
from tests.docs.browser import chromium, open_context
from tests.docs.pages import page
from tests.docs.project import Project
from tests.support.http import Response
from tests.support.nginx import NGINX, nginx
from tests.support.redis import RedisServer
from tests.support.server import Server
from tests.support.tools import PATIENCE, free_port, require, wait_until
from tests.support.wire import target

DEPLOYMENT = page("docs/deployment.md")
TUTORIAL = page("docs/tutorial.md")
ADDRESS = "127.0.0.1:9000"
HOST = "www.example.com"
BUNDLE = "/static/socketio_server/socket.io.min.js"


class Site(NamedTuple):
    """The site behind nginx."""

    redis: RedisServer
    port: int

    @property
    def origin(self) -> str:
        """The origin of its pages."""
        return f"https://{HOST}:{self.port}"

    def request(self, method: str, path: str, body: str | None = None, **headers: str) -> Response:
        """Send a request to nginx, over TLS and in the name of the site."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = HTTPSConnection("127.0.0.1", self.port, context=context, timeout=PATIENCE)
        with closing(connection):
            host = {"Host": f"{HOST}:{self.port}"}
            connection.request(method, path, body, {**host, **headers})
            with connection.getresponse() as response:
                names = {name.lower(): value for name, value in response.getheaders()}
                return Response(response.status, names, response.read())

    def get(self, path: str, **headers: str) -> Response:
        """Ask for something."""
        return self.request("GET", path, **headers)


def configuration(folder: Path, server: Server, port: int, static: Path) -> str:
    """Return the page's configuration with the ports and files of this machine."""
    (block,) = DEPLOYMENT.of("nginx")
    text = block.text
    for old, new in {
        ADDRESS: f"127.0.0.1:{server.address[1]}",
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        f"/etc/ssl/{HOST}.pem": f"{folder}/certificate.pem",
        f"/etc/ssl/private/{HOST}.key": f"{folder}/key.pem",
        "/srv/chat/static/": f"{static}/",
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def command() -> list[str]:
    """Return the arguments of the unit's gunicorn, on a port of this machine."""
    (block,) = DEPLOYMENT.of("ini")
    unit = ConfigParser(interpolation=None, strict=False)  # with two ExecReload
    unit.read_string(block.text)
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert program.endswith("/gunicorn")
    assert ADDRESS in arguments
    return [each.replace(ADDRESS, "127.0.0.1:0") for each in arguments]


def make_certificate(folder: Path) -> None:
    """Make a certificate for the site that it has signed itself."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", f"/CN={HOST}"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")),
        ],
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def site(tutorial: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The tutorial's chat, deployed as the page says."""
    require("nginx", found=NGINX is not None)  # first: it takes no time
    require("openssl")
    project = tutorial.copy(tmp_path_factory.mktemp("deployed") / "project")
    (events,) = (block for block in TUTORIAL.of("python") if block.path == "events.py")
    project.apply(events)
    project.follow(DEPLOYMENT)
    redis = RedisServer()
    project.replace("mysite/settings.py", "redis://localhost:6379/0", redis.url)
    project.manage("collectstatic", "--noinput")
    server = project.serve_by_gunicorn(*command())
    folder = tmp_path_factory.mktemp("nginx")
    make_certificate(folder)
    port = free_port()
    site = Site(redis, port)
    block = configuration(folder, server, port, project.folder / "static")
    try:
        with nginx(folder, block, lambda: site.get(BUNDLE).status == 200):
            yield site
    finally:
        server.kill()
        redis.stop()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium(f"--host-resolver-rules=MAP {HOST} 127.0.0.1") as browser:
        yield browser


class TestABrowser:
    def test_goes_over_to_a_websocket_over_tls(self, site: Site, browser: Browser) -> None:
        window = open_context(browser, ignores_certificates=True).new_page()
        websockets: list[str] = []
        window.on("websocket", lambda websocket: websockets.append(websocket.url))
        window.goto(site.origin)
        expect(window.locator("#messages")).to_contain_text("You are connected.")
        window.wait_for_function("() => socket.io.engine.transport.name === 'websocket'")
        window.fill("#text", "Hello!")
        window.press("#text", "Enter")
        expect(window.locator("#messages li").last).to_have_text("Hello!")
        assert [url.partition("?")[0] for url in websockets] == [
            f"wss://{HOST}:{site.port}/socket.io/"
        ]

    def test_has_a_cookie_that_stays_on_tls(self, site: Site) -> None:
        response = site.get(target("polling"), Origin=site.origin)
        assert response.status == 200
        assert "Secure" in response.headers["set-cookie"]


class TestTheWorkers:
    def test_have_the_redis_in_common(self, site: Site) -> None:
        workers = int(command()[command().index("-w") + 1])
        wait_until(lambda: site.redis.servers() == workers, "all workers to use it")


class TestAForeignPage:
    @pytest.mark.parametrize("origin", ["https://evil.example", "https://www.example.com", "null"])
    def test_is_refused(self, site: Site, origin: str) -> None:
        response = site.get(target("polling"), Origin=origin)
        assert (response.status, response.body) == (403, b'{"code":4,"message":"Forbidden"}')


class TestAnotherHost:
    def test_is_refused(self, site: Site) -> None:
        assert site.get(target("polling"), Host="evil.example").status == 400


class TestAMessage:
    def test_of_maxpayload_bytes_passes(self, site: Site) -> None:
        opening = site.get(target("polling")).text
        sid = json.loads(opening[1:])["sid"]
        head, tail = '40\x1e42["', '"]'
        body = f"{head}{'x' * (Options().max_payload - len(head + tail))}{tail}"
        assert site.request("POST", target("polling", sid=sid), body).body == b"ok"
