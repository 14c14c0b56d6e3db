"""The handshake view: the one request of a connection that goes through Django's stack."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import gevent
import pytest
from django.conf import settings
from django.http import HttpRequest
from django.test import Client, RequestFactory, override_settings
from django.urls import reverse

from socketio_server import assets, views
from socketio_server.engine.engine import Engine
from socketio_server.engine.session import Session
from socketio_server.http.wsgi import UPGRADE_KEY
from socketio_server.net.statistics import Stats
from socketio_server.options import Options
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.serving import current
from tests.fakes.engine import RecordingSessionHandler
from tests.fakes.loop import FakeLoop
from tests.support.users import WITH_USERS, create_users_table

HANDSHAKE = {"EIO": "4", "transport": "polling"}
WEBSOCKET = {"EIO": "4", "transport": "websocket"}
WEBSOCKET_HEADERS = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}


class Service:
    """The part of a running server that the view knows."""

    others_accept = False

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.options = Options(
            allowed_origins=("https://listed.test",), max_handshakes_per_address=3
        )
        loop = FakeLoop()
        self.engine = Engine(loop, self.options, self.accept, Stats(loop.clock), clock=loop.clock)

    def accept(self, session: Session, request: HttpRequest) -> RecordingSessionHandler:
        self.requests.append(request)
        return RecordingSessionHandler()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    monkeypatch.setattr(current, "server", made)
    return made


@pytest.fixture
def url() -> str:
    return reverse("socketio")


@pytest.fixture
def strict_client() -> Client:
    """A client that is refused where Django's CSRF protection is in force."""
    return Client(enforce_csrf_checks=True)


def bundle() -> Path:
    """The official client's file."""
    return Path(views.__file__).parent / "static" / assets.CLIENT_BUNDLE


def assert_refused(response: Any, code: ErrorCode) -> None:
    assert response.status_code == (403 if code is ErrorCode.FORBIDDEN else 400)
    assert response["Content-Type"] == "application/json"
    assert json.loads(response.content)["code"] == code


@pytest.mark.skipif(django.VERSION < (5, 1), reason="Django has the middleware since 5.1")
class TestLoginRequiredMiddleware:
    """It redirects to a page, which no client of Socket.IO follows."""

    @pytest.fixture(autouse=True)
    def _middleware(self) -> Iterator[None]:
        name = "django.contrib.auth.middleware.LoginRequiredMiddleware"
        with override_settings(**{**WITH_USERS, "MIDDLEWARE": [*WITH_USERS["MIDDLEWARE"], name]}):
            yield

    @pytest.mark.parametrize(
        ("query", "headers"), [(HANDSHAKE, {}), (WEBSOCKET, WEBSOCKET_HEADERS)]
    )
    def test_an_anonymous_client_gets_401_with_the_reason(
        self, client: Client, url: str, service: Service, query: Any, headers: Any
    ) -> None:
        response = client.get(url, query, HTTP_ORIGIN="https://listed.test", **headers)

        assert response.status_code == 401
        assert "LoginRequiredMiddleware" in json.loads(response.content)["message"]
        assert response["Access-Control-Allow-Origin"] == "https://listed.test"
        assert service.engine.stats.refusals.counts == {"login": 1}
        assert len(service.engine) == 0

    @pytest.mark.parametrize("is_debug", [True, False])
    def test_the_terminal_says_so_while_the_console_leads_to_it(
        self,
        client: Client,
        url: str,
        service: Service,
        caplog: pytest.LogCaptureFixture,
        is_debug: bool,
    ) -> None:
        with override_settings(DEBUG=is_debug):
            client.get(url, HANDSHAKE)

        levels = {r.levelname for r in caplog.records if r.name == "socketio_server"}
        assert ("WARNING" in levels) is is_debug

    def test_a_client_that_would_be_refused_anyway_hears_why(
        self, client: Client, url: str, service: Service
    ) -> None:
        assert_refused(client.get(url, {**HANDSHAKE, "transport": "pigeon"}), ErrorCode(0))

    @pytest.mark.django_db
    def test_a_user_is_let_in(self, client: Client, url: str, service: Service) -> None:
        from django.contrib.auth.models import User

        create_users_table()
        client.force_login(User.objects.create(username="ann"))

        assert client.get(url, HANDSHAKE).status_code == 200

    def test_the_client_s_files_are_for_everybody(self, client: Client) -> None:
        assert client.get("/socket.io/socket.io.js").status_code == 200

    def test_a_preflight_is_answered(self, client: Client, url: str, service: Service) -> None:
        response = client.options(url, HTTP_ORIGIN="https://listed.test")

        assert response.status_code == 204


class TestUrl:
    def test_clients_find_it_where_they_look(self, url: str) -> None:
        assert url == "/socket.io/"


class TestWithoutAServer:
    def test_it_says_how_to_start_one(self, client: Client, url: str) -> None:
        response = client.get(url, HANDSHAKE)

        assert response.status_code == 503
        assert b"runserver_socketio" in response.content

    @pytest.mark.parametrize(
        ("program", "remedy"),
        [
            (
                "uwsgi/2.0",
                "start the site with `python manage.py runserver_socketio`, or run that beside it",
            ),
            ("gunicorn/23.0.0", "start gunicorn with `-k socketio_server.gunicorn.Worker`"),
        ],
    )
    def test_the_log_names_the_program_that_serves_the_process_once_and_the_answer_the_remedy(
        self, client: Client, url: str, caplog: pytest.LogCaptureFixture, program: str, remedy: str
    ) -> None:
        for _ in range(2):
            client.get(url, HANDSHAKE, SERVER_SOFTWARE=program)

        answer = client.get(url, HANDSHAKE, SERVER_SOFTWARE=program)
        assert answer.content.decode() == (f"This process does not serve Socket.IO: {remedy}.\n")
        (record,) = (each for each in caplog.records if each.name == "socketio_server")
        assert record.getMessage() == (
            f"A Socket.IO client has come, and {program} does not serve Socket.IO: {remedy} "
            "(said once)"
        )

    def test_nothing_is_logged_of_a_request_that_is_no_client_s(
        self, client: Client, url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        client.get(url, SERVER_SOFTWARE="a load balancer's friend")

        assert not [each for each in caplog.records if each.name == "socketio_server"]


class TestHandshakeOverPolling:
    def test_it_opens_a_session(self, client: Client, url: str, service: Service) -> None:
        response = client.get(url, HANDSHAKE)

        assert response.status_code == 200
        assert response["Content-Type"] == "text/plain; charset=UTF-8"
        assert response.content.startswith(b'0{"sid":"')
        assert len(service.engine) == 1

    def test_it_is_never_cached(self, client: Client, url: str, service: Service) -> None:
        response = client.get(url, HANDSHAKE)
        assert response["Cache-Control"] == "private, no-store"

    def test_browsers_are_told_not_to_guess_its_type(
        self, client: Client, url: str, service: Service
    ) -> None:
        for query in (HANDSHAKE, {}):
            assert client.get(url, query)["X-Content-Type-Options"] == "nosniff"

    def test_it_is_not_cached_by_the_project_s_own_cache(
        self, client: Client, url: str, service: Service
    ) -> None:
        cache = "django.middleware.cache."
        middleware = [
            f"{cache}UpdateCacheMiddleware",
            *settings.MIDDLEWARE,
            f"{cache}FetchFromCacheMiddleware",
        ]
        with override_settings(
            MIDDLEWARE=middleware,
            CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        ):
            first, second = (client.get(url, HANDSHAKE) for _ in range(2))

        assert first.content != second.content

    def test_the_handlers_request_went_through_the_middleware(
        self, client: Client, url: str, service: Service
    ) -> None:
        client.get(url, {**HANDSHAKE, "token": "abc"}, HTTP_ACCEPT_LANGUAGE="fr", HTTP_X_TAG="7")

        (request,) = service.requests
        assert isinstance(request, HttpRequest)
        assert request.LANGUAGE_CODE == "fr"  # LocaleMiddleware's
        assert request.GET["token"] == "abc"
        assert request.META["HTTP_X_TAG"] == "7"
        assert request.get_host() == "testserver"

    def test_the_request_keeps_no_input_stream(
        self, client: Client, url: str, service: Service
    ) -> None:
        """It would hold the HTTP handler and its buffers, for hours."""
        response = client.get(url, HANDSHAKE)
        (request,) = service.requests

        assert request.META["wsgi.input"].read() == b""
        assert type(request.META["wsgi.input"]).__module__ == "_io"
        assert request.body == b""
        assert response.wsgi_request is request


class TestTheCookie:
    """It binds a polling session to its browser."""

    def test_a_browser_without_one_gets_one_that_scripts_can_not_read(
        self, client: Client, url: str, service: Service
    ) -> None:
        (cookie,) = client.get(url, HANDSHAKE).cookies.values()

        assert re.fullmatch("socketio-[0-9a-f]{8}", cookie.key)
        assert len(cookie.value) * 6 >= 160  # bits
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert cookie["path"] == url
        assert not cookie["secure"]

    def test_it_is_for_the_path_that_the_browser_asked_for(
        self, client: Client, url: str, service: Service
    ) -> None:
        """``SCRIPT_NAME`` is what a proxy has taken away."""
        response = client.get(url, HANDSHAKE, SCRIPT_NAME="/a b")
        (cookie,) = response.cookies.values()

        assert response.wsgi_request.path == "/a b/socket.io/"
        assert cookie["path"] == "/a%20b/socket.io/"

    def test_over_https_it_stays_there(self, client: Client, url: str, service: Service) -> None:
        (cookie,) = client.get(url, HANDSHAKE, secure=True).cookies.values()

        assert cookie["secure"]

    def test_one_who_has_it_keeps_it(self, client: Client, url: str, service: Service) -> None:
        client.get(url, HANDSHAKE)

        assert not client.get(url, HANDSHAKE).cookies


class TestHandshakeOverWebSocket:
    def test_it_asks_the_server_for_the_upgrade(
        self, client: Client, url: str, service: Service
    ) -> None:
        response = client.get(url, WEBSOCKET, **WEBSOCKET_HEADERS)  # type: ignore[arg-type]
        request = response.wsgi_request

        assert response.status_code == 101
        assert request.META[UPGRADE_KEY].context is request
        assert len(service.engine) == 0  # the session begins once the 101 is written

    def test_a_refused_one_asks_for_nothing(
        self, client: Client, url: str, service: Service
    ) -> None:
        response = client.get(
            url,
            {**WEBSOCKET, "EIO": "3"},
            **WEBSOCKET_HEADERS,  # type: ignore[arg-type]
        )

        assert_refused(response, ErrorCode.UNSUPPORTED_PROTOCOL_VERSION)
        assert UPGRADE_KEY not in response.wsgi_request.META


class TestRefusals:
    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ({}, ErrorCode.UNKNOWN_TRANSPORT),
            ({"EIO": "4", "transport": "carrier pigeon"}, ErrorCode.UNKNOWN_TRANSPORT),
            ({"transport": "polling"}, ErrorCode.UNSUPPORTED_PROTOCOL_VERSION),
            ({**HANDSHAKE, "sid": "unknown"}, ErrorCode.UNKNOWN_SESSION),
            (WEBSOCKET, ErrorCode.BAD_REQUEST),
        ],
    )
    def test_they_are_the_protocol_s_own(
        self, client: Client, url: str, service: Service, query: dict[str, str], code: ErrorCode
    ) -> None:
        assert_refused(client.get(url, query), code)
        assert len(service.engine) == 0

    @pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
    def test_another_method_gets_the_protocol_s_error_and_not_django_s(
        self, strict_client: Client, url: str, service: Service, method: str
    ) -> None:
        query = "?EIO=4&transport=polling"
        response = getattr(strict_client, method)(url + query)

        assert_refused(response, ErrorCode.BAD_HANDSHAKE_METHOD)

    def test_a_head_request_has_no_body(self, client: Client, url: str, service: Service) -> None:
        response = client.head(url, HANDSHAKE)

        assert response.status_code == 400
        assert response.content == b""

    def test_a_foreign_page(self, client: Client, url: str, service: Service) -> None:
        response = client.get(url, HANDSHAKE, HTTP_ORIGIN="http://evil.test")

        assert_refused(response, ErrorCode.FORBIDDEN)
        assert "Access-Control-Allow-Origin" not in response
        assert len(service.engine) == 0

    @pytest.mark.parametrize("revision", ["4", "3"])
    def test_a_foreign_page_that_hides_its_origin(
        self, client: Client, url: str, service: Service, revision: str
    ) -> None:
        """With an image, for instance, whose request has the visitor's cookies."""
        query = {**HANDSHAKE, "EIO": revision}
        response = client.get(url, query, HTTP_SEC_FETCH_SITE="cross-site")

        assert_refused(response, ErrorCode.FORBIDDEN)
        assert len(service.engine) == 0

    def test_a_plain_page_where_the_request_is_secure(
        self, client: Client, url: str, service: Service
    ) -> None:
        response = client.get(url, HANDSHAKE, secure=True, HTTP_ORIGIN="http://testserver")

        assert_refused(response, ErrorCode.FORBIDDEN)
        assert "Access-Control-Allow-Origin" not in response

    @override_settings(ALLOWED_HOSTS=["example.com"])
    def test_a_host_that_is_not_ours(self, rf: RequestFactory, url: str, service: Service) -> None:
        """Its pages would pass for the request's own host."""
        request = rf.get(url, HANDSHAKE, HTTP_HOST="evil.test", HTTP_ORIGIN="http://evil.test")
        response = views.socketio(request)

        assert_refused(response, ErrorCode.FORBIDDEN)
        assert len(service.engine) == 0

    def test_too_many_from_one_address(self, client: Client, url: str, service: Service) -> None:
        answers = [
            client.get(url, HANDSHAKE, REMOTE_ADDR="192.0.2.1").status_code for _ in range(4)
        ]
        other = client.get(url, HANDSHAKE, REMOTE_ADDR="192.0.2.2").status_code

        assert answers == [200, 200, 200, 429]
        assert other == 200
        assert len(service.engine) == 4

    def test_of_sessions_that_are_over_are_no_handshakes(
        self, client: Client, url: str, service: Service
    ) -> None:
        """A restart brings all of them at once; nor are they too late while the server stops."""
        late = {**HANDSHAKE, "sid": "unknown"}
        answers = [client.get(url, late, REMOTE_ADDR="192.0.2.1") for _ in range(4)]
        service.engine.drain(gevent.sleep)
        answers.append(client.post(f"{url}?EIO=4&transport=polling&sid=unknown"))

        for answer in answers:
            assert_refused(answer, ErrorCode.UNKNOWN_SESSION)

    def test_while_the_server_stops(self, client: Client, url: str, service: Service) -> None:
        service.engine.drain(gevent.sleep)
        response = client.get(url, HANDSHAKE)

        assert response.status_code == 503
        assert len(service.engine) == 0

    def test_not_while_the_server_stops_if_other_workers_take_clients(
        self, client: Client, url: str, service: Service
    ) -> None:
        """The session begins and is told to end: its client comes to one of them by itself."""
        service.engine.drain(gevent.sleep)
        service.others_accept = True
        response = client.get(url, HANDSHAKE)

        assert response.status_code == 200
        assert len(service.engine) == 0


class TestOwnOrigin:
    """It is compared with what Django makes of host and scheme."""

    def test_a_secure_page_is_let_in_by_a_secure_request(
        self, client: Client, url: str, service: Service
    ) -> None:
        response = client.get(url, HANDSHAKE, secure=True, HTTP_ORIGIN="https://testserver")

        assert response.status_code == 200

    def test_a_secure_page_is_let_in_where_a_proxy_ends_tls_and_the_log_names_the_setting(
        self, client: Client, url: str, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            response = client.get(url, HANDSHAKE, HTTP_ORIGIN="https://testserver")
            assert response.status_code == 200

        assert caplog.text.count("SECURE_PROXY_SSL_HEADER") == 1

    @override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"))
    def test_with_that_setting_it_is_not_named(
        self, client: Client, url: str, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        proxied = {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_HOST": "testserver"}
        own = client.get(url, HANDSHAKE, HTTP_ORIGIN="https://testserver", **proxied)  # type: ignore[arg-type]
        plain = client.get(url, HANDSHAKE, HTTP_ORIGIN="http://testserver", **proxied)  # type: ignore[arg-type]

        assert (own.status_code, plain.status_code) == (200, 403)
        assert "SECURE_PROXY" not in caplog.text

    @override_settings(USE_X_FORWARDED_HOST=True, ALLOWED_HOSTS=["example.com"])
    def test_the_host_is_the_one_that_the_proxy_names(
        self, client: Client, url: str, service: Service
    ) -> None:
        proxied = {"HTTP_HOST": "inner:8000", "HTTP_X_FORWARDED_HOST": "example.com"}
        answers = [
            client.get(url, HANDSHAKE, HTTP_ORIGIN=origin, **proxied)  # type: ignore[arg-type]
            for origin in ("http://example.com", "http://inner:8000")
        ]

        assert [answer.status_code for answer in answers] == [200, 403]


class TestOtherOrigins:
    def test_a_listed_page_may_read_the_answer(
        self, client: Client, url: str, service: Service
    ) -> None:
        response = client.get(url, HANDSHAKE, HTTP_ORIGIN="https://listed.test")

        assert response.status_code == 200
        assert response["Access-Control-Allow-Origin"] == "https://listed.test"
        assert response["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in response["Vary"]

    def test_a_listed_page_may_read_an_error(
        self, client: Client, url: str, service: Service
    ) -> None:
        response = client.get(url, {"EIO": "4"}, HTTP_ORIGIN="https://listed.test")

        assert_refused(response, ErrorCode.UNKNOWN_TRANSPORT)
        assert response["Access-Control-Allow-Origin"] == "https://listed.test"

    def test_a_preflight_is_answered(self, client: Client, url: str, service: Service) -> None:
        response = client.options(url, HTTP_ORIGIN="https://listed.test")

        assert response.status_code == 204
        assert response.content == b""
        assert response["Access-Control-Allow-Methods"] == "GET, POST"
        assert len(service.engine) == 0


class TestTheClientsFiles:
    """What pages written for Node's server load."""

    @pytest.mark.parametrize("name", ["socket.io.js", "socket.io.min.js"])
    def test_the_script_is_the_official_client_and_no_more(self, client: Client, name: str) -> None:
        response = client.get(f"/socket.io/{name}")

        assert response.status_code == 200
        assert response["Content-Type"] == "text/javascript; charset=utf-8"
        assert response.content == bundle().read_bytes()
        assert not response.cookies

    def test_its_source_map_is_where_it_says(self, client: Client) -> None:
        (name,) = re.findall(rb"sourceMappingURL=(\S+)", bundle().read_bytes())
        response = client.get(f"/socket.io/{name.decode()}")

        assert response.status_code == 200
        assert response["Content-Type"] == "application/json"
        assert json.loads(response.content)["version"] == 3

    def test_a_browser_that_has_one_is_told_so(self, client: Client) -> None:
        first = client.get("/socket.io/socket.io.js")
        again = client.get("/socket.io/socket.io.js", HTTP_IF_NONE_MATCH=first["ETag"])
        other = client.get("/socket.io/socket.io.js", HTTP_IF_NONE_MATCH='"other"')

        assert (again.status_code, again.content) == (304, b"")
        assert again["ETag"] == first["ETag"]
        assert other.status_code == 200

    def test_any_page_may_load_it_from_any_process(self, client: Client) -> None:
        response = client.get("/socket.io/socket.io.js", HTTP_ORIGIN="http://evil.test")

        assert response.status_code == 200

    def test_there_are_no_others(self, client: Client) -> None:
        assert client.get("/socket.io/django-socketio.js").status_code == 404
        assert client.post("/socket.io/socket.io.js").status_code == 405

    def test_where_the_build_did_not_put_it_it_is_not_found(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        views._read_client_file.cache_clear()
        monkeypatch.setitem(assets.CLIENT_FILES, "socket.io.js", "socketio_server/not-there.js")

        assert client.get("/socket.io/socket.io.js").status_code == 404


class TestCounting:
    """Whatever is refused is counted by its kind, and logged."""

    @pytest.mark.parametrize(
        ("query", "headers", "kind"),
        [
            ({"transport": "pigeon"}, {}, "request"),
            ({"EIO": "2"}, {}, "version"),
            ({"sid": "unknown"}, {}, "unknown sid"),
            ({}, {"HTTP_ORIGIN": "https://evil.test"}, "origin"),
        ],
    )
    def test_a_handshake_that_is_refused(
        self, client: Client, url: str, service: Service, query: Any, headers: Any, kind: str
    ) -> None:
        client.get(url, HANDSHAKE | query, **headers)

        assert service.engine.stats.refusals.counts == {kind: 1}

    def test_an_unknown_sid_tells_which_process_has_made_it(
        self, client: Client, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workers: list[str] = []
        monkeypatch.setattr(service.engine, "_on_unknown_sid", workers.append)
        client.get(url, HANDSHAKE | {"sid": "a-123.secret"})

        assert workers == ["a-123"]

    @override_settings(ALLOWED_HOSTS=["example.com"])
    def test_one_for_another_host(
        self, rf: RequestFactory, url: str, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        views.socketio(rf.get(url, HANDSHAKE, HTTP_HOST="evil.test"))

        assert service.engine.stats.refusals.counts == {"host": 1}
        assert "host 'evil.test' is not in ALLOWED_HOSTS" in caplog.text

    def test_one_of_another_origin(
        self, client: Client, url: str, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        client.get(url, HANDSHAKE, HTTP_HOST="testserver", HTTP_ORIGIN="https://evil.test\x1b")

        assert service.engine.stats.refusals.counts == {"origin": 1}
        assert (
            r"origin 'https://evil.test\x1b' is neither 'http://testserver' nor in "
            "SOCKETIO_ALLOWED_ORIGINS (from 127.0.0.1)" in caplog.text
        )

    def test_one_of_another_version(
        self, client: Client, url: str, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        client.get(url, {**HANDSHAKE, "EIO": "3"})

        assert service.engine.stats.refusals.counts == {"version": 1}
        assert "set SOCKETIO_ALLOW_EIO3 = True" in caplog.text
        assert "(EIO='3')" in caplog.text

    def test_too_many(self, client: Client, url: str, service: Service) -> None:
        for _ in range(5):
            client.get(url, HANDSHAKE, REMOTE_ADDR="203.0.113.1")

        assert service.engine.stats.refusals.counts == {"handshake": 2}

    def test_one_that_comes_too_late(self, client: Client, url: str, service: Service) -> None:
        service.engine.drain(gevent.sleep)
        client.get(url, HANDSHAKE)

        assert service.engine.stats.refusals.counts == {"stopping": 1}

    def test_none_where_nothing_is_refused(
        self, client: Client, url: str, service: Service
    ) -> None:
        client.get(url, HANDSHAKE)

        assert service.engine.stats.refusals.counts == {}
