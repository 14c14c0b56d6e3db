"""The examination of sites behind a real nginx: one that is right, and each with one mistake."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import pytest
from django.test import override_settings

from socketio_server import health
from socketio_server.doctor.examination import Examination, Finding
from socketio_server.doctor.site import Site
from tests.support.http import Http
from tests.support.nginx import nginx
from tests.support.redis import RedisServer
from tests.support.server import Address, Server, under_gunicorn
from tests.support.tools import free_port, require, wait_until
from tests.support.types import StartServer
from tests.support.views import log_in
from tests.support.wire import target

BRIEF = 0.2
"""Seconds of silence where nothing is to come of it."""

SITE = """
map $http_upgrade $connection_upgrade { default upgrade; '' close; }
upstream site { SERVERS }
server {
    listen 127.0.0.1:PORT;
    client_max_body_size 1m;
    location / {
        proxy_pass http://site;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_read_timeout 60s;
        proxy_buffering off;
    }
}
"""

LOGIN_REQUIRED = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
]

Behind = Callable[..., str]


@pytest.fixture(autouse=True)
def same_secret() -> Iterator[None]:
    """Give this process the server's ``SECRET_KEY``."""
    with override_settings(SECRET_KEY="for tests"):
        yield


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Behind]:
    """Run nginx before servers, its configuration changed; return the site's URL."""
    with ExitStack() as stack:

        def behind(*servers: Server, mistakes: dict[str, str] | None = None) -> str:
            port = free_port()
            addresses = " ".join(f"server 127.0.0.1:{one.address[1]};" for one in servers)
            site = SITE
            for right, wrong in (mistakes or {}).items():
                assert site.count(right) == 1, right
                site = site.replace(right, wrong)
            site = site.replace("PORT", str(port)).replace("SERVERS", addresses)
            address: Address = ("127.0.0.1", port)
            stack.enter_context(nginx(tmp_path, site, lambda: _answers(address)))
            return f"http://127.0.0.1:{port}"

        yield behind


def _answers(address: Address) -> bool:
    with Http(address) as http:
        return http.get(target("polling")).status > 0


@pytest.fixture
def only_polling(share_server: StartServer) -> Server:
    return share_server(settings={"SOCKETIO_TRANSPORTS": ["polling"]})


def examine(
    url: str, *, idle: float = BRIEF, origin: str | None = None, cookie: str | None = None
) -> dict[str, Finding]:
    """Examine a site; return the findings by their steps."""
    examination = Examination(
        Site(url, "/socket.io/"),
        origin=origin,
        idle=idle,
        token=health.make_token(),
        cookie=cookie,
    )
    return {finding.step: finding for finding in examination.run()}


def wrong(findings: dict[str, Finding]) -> dict[str, tuple[str, ...]]:
    """Return the lines to change, by the steps that found something wrong."""
    return {step: one.nginx for step, one in findings.items() if one.state == "wrong"}


class TestASiteThatIsRight:
    def test_passes_every_step_behind_nginx(self, server: Server, behind: Behind) -> None:
        findings = examine(behind(server))
        assert {one.state for one in findings.values()} == {"right"}, findings

    def test_passes_every_step_without_a_proxy(self, server: Server) -> None:
        findings = examine(server.url)
        assert {one.state for one in findings.values()} == {"right"}, findings

    def test_runs_no_handler(self, server: Server) -> None:
        examine(server.url)
        assert server.journal.entries() == []

    def test_compresses_websockets_if_the_settings_say_so(self, share_server: StartServer) -> None:
        server = share_server(settings={"SOCKETIO_PER_MESSAGE_DEFLATE": True})
        assert wrong(examine(server.url)) == {}


class TestASiteWithOneTransport:
    @pytest.fixture
    def only_websocket(self, share_server: StartServer) -> Server:
        return share_server(settings={"SOCKETIO_TRANSPORTS": ["websocket"]})

    def test_is_right_with_websocket_only(self, only_websocket: Server, behind: Behind) -> None:
        findings = examine(behind(only_websocket))
        assert wrong(findings) == {}
        assert findings["polling"].state == "not examined"
        assert findings["upgrade"].state == "right"

    def test_has_the_upgrade_lines_at_the_handshake_with_websocket_only(
        self, only_websocket: Server, behind: Behind
    ) -> None:
        line = "proxy_set_header Upgrade $http_upgrade;"
        found = wrong(examine(behind(only_websocket, mistakes={line: ""})))
        assert list(found) == ["handshake"]
        assert line in found["handshake"]

    def test_has_no_upgrade_with_polling_only(self, only_polling: Server) -> None:
        findings = examine(only_polling.url)
        assert wrong(findings) == {}
        assert findings["upgrade"].state == "not examined"


class TestASiteThatWantsALogin:
    def test_asks_for_a_cookie_and_takes_it(
        self, share_server: StartServer, start_server: StartServer, database: dict[str, str]
    ) -> None:
        cookie = log_in(share_server(environment=database), "doctor", colour="red")["Cookie"]
        server = start_server(environment=database, settings={"MIDDLEWARE": LOGIN_REQUIRED})
        (finding,) = examine(server.url).values()
        assert "The site wants a login" in finding.text
        (finding,) = examine(server.url, cookie="sessionid=nobody").values()
        assert "logs nobody in" in finding.text
        assert wrong(examine(server.url, cookie=cookie)) == {}


class TestACookieThatIsPassed:
    def test_is_told_of_if_it_logs_nobody_in(
        self, share_server: StartServer, database: dict[str, str]
    ) -> None:
        server = share_server(environment=database)
        findings = examine(server.url, cookie="sessionid=nobody")
        assert wrong(findings) == {"cookies": ()}
        assert "logs nobody in" in findings["cookies"].text

        cookie = log_in(server, "doctor", colour="red")["Cookie"]
        assert wrong(examine(server.url, cookie=cookie)) == {}

    def test_may_be_for_something_else(self, server: Server) -> None:
        assert wrong(examine(server.url, cookie="beta=1")) == {}


class TestAMistake:
    @pytest.mark.parametrize(
        "line",
        [
            "proxy_set_header Upgrade $http_upgrade;",
            "proxy_set_header Connection $connection_upgrade;",
            "proxy_http_version 1.1;",
        ],
    )
    def test_of_no_upgrade_is_found(self, server: Server, behind: Behind, line: str) -> None:
        (found,) = wrong(examine(behind(server, mistakes={line: ""}))).items()
        step, lines = found
        assert step == "upgrade"
        assert line in lines

    def test_of_a_short_read_timeout_is_found(self, server: Server, behind: Behind) -> None:
        url = behind(server, mistakes={"proxy_read_timeout 60s;": "proxy_read_timeout 3s;"})
        assert wrong(examine(url, idle=20)) == {"silence": ("proxy_read_timeout 60s;",)}

    def test_of_a_short_read_timeout_is_found_by_polling_alone(
        self, only_polling: Server, behind: Behind
    ) -> None:
        url = behind(only_polling, mistakes={"proxy_read_timeout 60s;": "proxy_read_timeout 3s;"})
        findings = examine(url, idle=20)
        assert wrong(findings) == {"silence": ("proxy_read_timeout 60s;",)}
        assert findings["upgrade"].state == "not examined"

    def test_of_a_small_body_is_found(self, server: Server, behind: Behind) -> None:
        url = behind(server, mistakes={"client_max_body_size 1m;": "client_max_body_size 64k;"})
        assert wrong(examine(url)) == {"size": ("client_max_body_size 1m;",)}

    def test_of_buffered_answers_is_found(self, server: Server, behind: Behind) -> None:
        url = behind(server, mistakes={"proxy_buffering off;": ""})
        assert wrong(examine(url)) == {"buffering": ("proxy_buffering off;",)}

    def test_of_another_host_is_found(self, server: Server, behind: Behind) -> None:
        url = behind(server, mistakes={"$http_host": "localhost"})
        assert wrong(examine(url)) == {"handshake": ("proxy_set_header Host $http_host;",)}

    def test_of_a_host_that_is_not_allowed_is_found(self, server: Server, behind: Behind) -> None:
        url = behind(server, mistakes={"proxy_set_header Host $http_host;": ""})
        assert wrong(examine(url)) == {"handshake": ("proxy_set_header Host $http_host;",)}

    @pytest.mark.parametrize(
        ("header", "step"),
        [
            ("Cookie", "cookies"),
            ("Origin", "origin"),
            ("Accept-Encoding", "compression"),
        ],
    )
    def test_of_a_header_that_is_lost_is_found(
        self, server: Server, behind: Behind, header: str, step: str
    ) -> None:
        kept = "proxy_read_timeout 60s;"
        lost = f'{kept} proxy_set_header {header} "";'
        found = wrong(examine(behind(server, mistakes={kept: lost})))
        assert list(found) == [step]
        assert found[step][0].startswith(f"proxy_set_header {header} $http_")

    @pytest.mark.parametrize("lost", ["proxy_hide_header Set-Cookie;", "proxy_cookie_path / /a/;"])
    def test_of_the_sessions_cookie_is_found(
        self, server: Server, behind: Behind, lost: str
    ) -> None:
        kept = "proxy_read_timeout 60s;"
        found = examine(behind(server, mistakes={kept: f"{kept} {lost}"}))
        assert list(wrong(found)) == ["cookies"]
        assert lost.split()[0] in found["cookies"].text

    def test_of_no_server_is_found_and_nothing_else_examined(
        self, server: Server, behind: Behind
    ) -> None:
        nobody = f"server 127.0.0.1:{free_port()};"
        findings = examine(behind(server, mistakes={"SERVERS": nobody}))
        assert list(findings) == ["handshake"]
        assert "No server answers behind the proxy (status 502)" in findings["handshake"].text

    def test_of_nothing_at_all_is_found(self) -> None:
        (finding,) = examine(f"http://127.0.0.1:{free_port()}").values()
        assert finding.text.startswith("The connection fails: ")


class TestASiteOverTls:
    @pytest.fixture
    def behind_tls(self, behind: Behind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Behind:
        """Run nginx with a certificate that this process trusts."""
        require("openssl")
        certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
        make_certificate(certificate, key)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        tls = f"ssl; ssl_certificate {certificate}; ssl_certificate_key {key};"

        def behind_tls(server: Server, lines: str) -> str:
            timeout = "proxy_read_timeout 60s;"
            mistakes = {"PORT;": f"PORT {tls}", timeout: f"{timeout} {lines}"}
            return behind(server, mistakes=mistakes).replace("http:", "https:")

        return behind_tls

    SETTINGS: ClassVar = {"SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"]}

    def test_passes_every_step_if_it_is_right(
        self, share_server: StartServer, behind_tls: Behind
    ) -> None:
        server = share_server(settings=self.SETTINGS)
        url = behind_tls(server, "proxy_set_header X-Forwarded-Proto $scheme;")
        findings = examine(url)
        assert {one.state for one in findings.values()} == {"right"}, findings

    def test_is_told_of_a_proxy_that_says_nothing_of_tls(
        self, share_server: StartServer, behind_tls: Behind
    ) -> None:
        findings = examine(behind_tls(share_server(settings=self.SETTINGS), ""))
        line = ("proxy_set_header X-Forwarded-Proto $scheme;",)
        assert wrong(findings) == {"health": line, "cookies": line}

    def test_is_told_of_a_certificate_that_browsers_do_not_trust(
        self, server: Server, behind_tls: Behind, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = behind_tls(server, "")
        monkeypatch.delenv("SSL_CERT_FILE")
        (finding,) = examine(url).values()
        assert "CERTIFICATE_VERIFY_FAILED" in finding.text

    def test_that_speaks_none_is_named_as_the_cause(self, server: Server) -> None:
        (finding,) = examine(server.url.replace("http:", "https:")).values()
        assert finding.text.startswith("TLS fails: what answers there may speak plain HTTP.")


def make_certificate(certificate: Path, key: Path) -> None:
    """Make a certificate for this machine that it has signed itself."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *(
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=test",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )


class TestPagesOfAnotherOrigin:
    def test_are_told_to_be_allowed(self, server: Server) -> None:
        findings = examine(server.url, origin="https://www.example.com")
        assert wrong(findings) == {"handshake": ()}
        assert "SOCKETIO_ALLOWED_ORIGINS" in findings["handshake"].text

    def test_pass_if_they_are(self, share_server: StartServer) -> None:
        origin = "https://www.example.com"
        server = share_server(settings={"SOCKETIO_ALLOWED_ORIGINS": [origin]})
        assert wrong(examine(server.url, origin=origin)) == {}


class TestSeveralProcesses:
    def test_without_a_broker_are_found_behind_a_proxy_that_chooses(
        self, server: Server, start_server: StartServer, behind: Behind
    ) -> None:
        findings = examine(behind(server, start_server()))
        assert findings["workers"].state == "wrong"
        assert findings["workers"].text.startswith("2 processes")
        assert wrong(findings)["polling"] == ("ip_hash;  # in upstream {}",)

    def test_without_a_broker_are_found_if_they_hand_connections_over(
        self, start_server: StartServer
    ) -> None:
        site = start_server(gunicorn=under_gunicorn("--workers", "2"))
        wait_for_workers(site, 2)
        findings = examine(site.url)
        assert list(wrong(findings)) == ["workers"]
        assert findings["workers"].text.startswith("2 processes")

    def test_with_a_broker_are_right_until_it_is_lost(
        self, own_redis: RedisServer, start_server: StartServer
    ) -> None:
        site = start_server(
            gunicorn=under_gunicorn("--workers", "2"),
            settings={"SOCKETIO_BROKER_URL": own_redis.url},
        )
        wait_for_workers(site, 2)
        wait_until(lambda: wrong(examine(site.url)) == {}, "the broker")
        own_redis.shut_down()
        wait_until(lambda: list(wrong(examine(site.url))) == ["workers"], "its loss")


def wait_for_workers(site: Server, count: int) -> None:
    """Wait until gunicorn's workers have all started."""

    def all_are_there() -> bool:
        with Http(site.address) as http:
            headers = {health.TOKEN_HEADER: health.make_token()}
            told = http.get("/socket.io/?doctor=health", headers).json
            return bool(told["workers"] == count)

    wait_until(all_are_there, f"{count} workers")
