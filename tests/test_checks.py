"""System checks: what would go wrong later is said before the server starts."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.core import checks as django_checks
from django.core.checks import CheckMessage
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import clear_script_prefix, include, path, re_path, set_script_prefix
from django.views.decorators.cache import never_cache
from pytest_django import Settings

from socketio_server import assets, checks, views
from socketio_server.decorators import login_required
from socketio_server.events import Registry


def run() -> list[CheckMessage]:
    """Run the package's checks as ``manage.py check`` does."""
    return django_checks.run_checks(tags=["socketio_server"])


def ids() -> list[str | None]:
    return [message.id for message in run()]


def a_view(request: HttpRequest) -> HttpResponse:
    """Anything but the server's."""
    return HttpResponse()


Urlconf = Callable[..., None]


@pytest.fixture
def urlconf() -> Iterator[Urlconf]:
    """Gives the project other URLs."""
    with ExitStack() as stack:

        def use(*patterns: Any) -> None:
            module = ModuleType("some_urlconf")
            vars(module)["urlpatterns"] = list(patterns)
            stack.enter_context(override_settings(ROOT_URLCONF=module))

        yield use


class TestAProjectThatIsWellSetUp:
    def test_has_nothing_to_be_said_about(self) -> None:
        assert run() == []


class TestSettings:
    """E001."""

    @override_settings(SOCKETIO_PING_INTERVAL="soon", SOCKETIO_PORT=-1)
    def test_each_bad_one_is_an_error_of_its_own(self) -> None:
        messages = run()

        assert [message.id for message in messages] == ["socketio_server.E001"] * 2
        assert all(message.is_serious() for message in messages)
        assert messages[0].msg == "SOCKETIO_PORT must be a port number from 0 to 65535, not -1."
        assert messages[1].msg.startswith("SOCKETIO_PING_INTERVAL must be a number of seconds")

    @override_settings(SOCKETIO_PNIG_INTERVAL=25)
    def test_one_that_does_not_exist_is_an_error(self) -> None:
        (message,) = run()

        assert message.id == "socketio_server.E001"
        assert "SOCKETIO_PNIG_INTERVAL" in message.msg
        assert message.hint

    @pytest.mark.parametrize(
        "name", ["HOST", "PORT", "EVENTS", "TRANSPORTS", "ALLOWED_ORIGINS", "MAX_PAYLOAD"]
    )
    def test_a_bad_one_keeps_no_other_check_from_running(self, name: str) -> None:
        """``manage.py check`` shows messages, never a traceback."""
        with override_settings(**{f"SOCKETIO_{name}": object()}):
            assert ids() == ["socketio_server.E001"]


class TestUrls:
    """E002."""

    def test_a_urlconf_without_the_server_s_url_is_an_error(self, urlconf: Urlconf) -> None:
        urlconf()
        (message,) = run()

        assert message.id == "socketio_server.E002"
        assert message.is_serious()
        assert message.hint is not None
        assert 'include("socketio_server.urls")' in message.hint

    @pytest.mark.parametrize("prefix", ["", "realtime/", "été/"])
    def test_one_that_has_it_anywhere_is_none(self, urlconf: Urlconf, prefix: str) -> None:
        urlconf(path(prefix, include("socketio_server.urls")), re_path("", a_view))

        assert run() == []

    def test_a_pattern_before_it_that_matches_all_is_an_error_that_names_it(
        self, urlconf: Urlconf
    ) -> None:
        urlconf(re_path("^.*$", a_view), path("", include("socketio_server.urls")))
        (message,) = run()

        assert message.id == "socketio_server.E002"
        assert "/socket.io/" in message.msg
        assert "'^.*$'" in message.msg
        assert message.hint is not None
        assert "before" in message.hint

    def test_another_url_of_its_name_is_an_error(self, urlconf: Urlconf) -> None:
        urlconf(
            path("", include("socketio_server.urls")),
            path("about-socketio/", a_view, name="socketio"),
        )
        (message,) = run()

        assert message.id == "socketio_server.E002"
        assert "/about-socketio/" in message.msg
        assert message.hint is not None
        assert 'the name "socketio"' in message.hint

    def test_a_view_of_its_own_that_a_project_decorates_is_none(self, urlconf: Urlconf) -> None:
        urlconf(path("socket.io/", never_cache(views.socketio), name="socketio"))

        assert run() == []

    @override_settings(LANGUAGES=[("en", "English"), ("fr", "Français")])
    def test_every_language_of_the_urls_is_looked_at(self, urlconf: Urlconf) -> None:
        server = include("socketio_server.urls")
        urlconf(*i18n_patterns(path("", server)))
        assert run() == []

        urlconf(re_path("^fr/", a_view), *i18n_patterns(path("", server)))
        (message,) = run()
        assert message.id == "socketio_server.E002"
        assert "/fr/socket.io/" in message.msg

    def test_a_path_that_a_proxy_takes_away_is_no_part_of_it(self, urlconf: Urlconf) -> None:
        urlconf(path("", include("socketio_server.urls")))
        set_script_prefix("/sub/")
        try:
            assert run() == []
        finally:
            clear_script_prefix()


class TestBundle:
    """E003."""

    def test_a_missing_client_is_an_error_that_names_the_command(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(assets, "CLIENT_BUNDLE", "socketio_server/not-there.js")
        (message,) = run()

        assert message.id == "socketio_server.E003"
        assert message.is_serious()
        assert "not-there.js" in message.msg
        assert message.hint is not None
        assert "pip install -e ." in message.hint


def no_middleware() -> None:
    """What takes no next one, and returns none."""


class TestMiddleware:
    """E004."""

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("no_such_module.Timing", "No module named 'no_such_module'"),
            ("tests.test_checks.Timing", 'does not define a "Timing"'),
            ("tests.test_checks.__name__", "is not callable"),
        ],
    )
    def test_one_that_can_not_be_had_is_an_error_that_names_it(self, path: str, why: str) -> None:
        with override_settings(SOCKETIO_MIDDLEWARE=[path]):
            (message,) = run()

        assert message.id == "socketio_server.E004"
        assert message.is_serious()
        assert message.msg.startswith(f"SOCKETIO_MIDDLEWARE names {path!r}, which ")
        assert why in message.msg

    @override_settings(SOCKETIO_MIDDLEWARE=["tests.test_checks.no_middleware"])
    def test_one_that_is_there_is_none(self) -> None:
        assert run() == []

    @override_settings(SOCKETIO_MIDDLEWARE=["middleware"])
    def test_what_is_no_path_is_left_to_the_settings_own_check(self) -> None:
        assert ids() == ["socketio_server.E001"]


class TestOrigins:
    """E005 and W001."""

    @pytest.mark.parametrize(
        ("origin", "hint"),
        [
            ("https://example.com/", "Write 'https://example.com'."),
            ("https://Example.com:443", "Write 'https://example.com'."),
            ("localhost:8000", "Write 'http://localhost:8000'."),
        ],
    )
    def test_one_that_no_page_has_is_an_error_with_the_right_spelling(
        self, origin: str, hint: str
    ) -> None:
        with override_settings(SOCKETIO_ALLOWED_ORIGINS=["https://a.example", origin]):
            (message,) = run()

        assert message.id == "socketio_server.E005"
        assert message.is_serious()
        assert message.msg == f"SOCKETIO_ALLOWED_ORIGINS has {origin!r}, which is no page's origin."
        assert message.hint == hint

    @pytest.mark.parametrize("origin", ["https://*.example.com", "https://", "nonsense !"])
    def test_one_that_can_not_be_corrected_is_told_what_one_is(self, origin: str) -> None:
        with override_settings(SOCKETIO_ALLOWED_ORIGINS=[origin]):
            (message,) = run()

        assert message.id == "socketio_server.E005"
        assert "scheme, host and port" in str(message.hint)

    @override_settings(SOCKETIO_ALLOWED_ORIGINS=["capacitor://localhost", "file://"])
    def test_those_of_apps_are_none(self) -> None:
        assert run() == []

    @pytest.mark.parametrize("origin", ["*", "null"])
    def test_any_origin_is_a_warning(self, origin: str) -> None:
        with override_settings(SOCKETIO_ALLOWED_ORIGINS=[origin]):
            (message,) = run()

        assert origin in message.msg
        assert message.id == "socketio_server.W001"
        assert not message.is_serious(django_checks.ERROR)
        assert message.is_serious(django_checks.WARNING)

    @override_settings(SOCKETIO_ALLOWED_ORIGINS=["https://example.com"])
    def test_named_ones_are_none(self) -> None:
        assert run() == []


LIVE = "https://live.example.com"


def lost_cookies() -> list[CheckMessage]:
    return [message for message in run() if message.id == "socketio_server.W007"]


class TestPublicUrl:
    """W006."""

    @override_settings(SOCKETIO_PUBLIC_URL=LIVE)
    def test_another_host_that_lets_no_page_in_is_a_warning_with_all_that_it_takes(self) -> None:
        (message,) = run()

        assert message.id == "socketio_server.W006"
        assert LIVE in message.msg
        for needed in ("SOCKETIO_ALLOWED_ORIGINS", "withCredentials", 'SOCKETIO_PUBLIC_URL = ""'):
            assert needed in str(message.hint)

    @pytest.mark.parametrize("url", [None, ""])
    def test_the_page_s_own_host_is_none(self, url: str | None) -> None:
        with override_settings(SOCKETIO_PUBLIC_URL=url):
            assert run() == []

    def test_what_is_no_url_is_left_to_the_settings_own_check(self) -> None:
        with override_settings(SOCKETIO_PUBLIC_URL="nonsense"):
            assert ids() == ["socketio_server.E001"]


class TestTheSessionsCookieOnAnotherHost:
    """W007."""

    @pytest.fixture(autouse=True)
    def live(self, settings: Settings) -> None:
        settings.SOCKETIO_PUBLIC_URL = LIVE
        settings.SOCKETIO_ALLOWED_ORIGINS = ["https://www.example.com"]
        settings.MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]

    def test_of_the_same_site_needs_a_domain_for_both(self, settings: Settings) -> None:
        (message,) = run()

        assert message.id == "socketio_server.W007"
        assert "https://www.example.com" in message.msg
        assert LIVE in message.msg
        assert 'SESSION_COOKIE_DOMAIN = ".example.com"' in str(message.hint)
        assert "io({ withCredentials: true })" in str(message.hint)

    @pytest.mark.parametrize("domain", [".example.com", "example.com"])
    def test_gets_there_with_that_domain(self, settings: Settings, domain: str) -> None:
        settings.SESSION_COOKIE_DOMAIN = domain
        assert run() == []

    @pytest.mark.parametrize("domain", ["www.example.com", ".ample.com"])
    def test_does_not_with_another(self, settings: Settings, domain: str) -> None:
        settings.SESSION_COOKIE_DOMAIN = domain
        assert len(lost_cookies()) == 1

    @pytest.mark.parametrize("origin", ["https://example.org", "http://www.example.com"])
    def test_of_another_site_needs_samesite_none_and_secure(
        self, settings: Settings, origin: str
    ) -> None:
        settings.SOCKETIO_ALLOWED_ORIGINS = [origin]
        (message,) = lost_cookies()
        assert 'SESSION_COOKIE_SAMESITE = "None"' in str(message.hint)

        settings.SESSION_COOKIE_SAMESITE = "None"
        assert len(lost_cookies()) == 1
        settings.SESSION_COOKIE_SECURE = True
        assert lost_cookies() == []

    def test_is_no_matter_on_another_port_of_the_same_host_nor_in_an_app(
        self, settings: Settings
    ) -> None:
        settings.SOCKETIO_ALLOWED_ORIGINS = ["https://live.example.com:8443", "app://localhost"]
        assert run() == []

    def test_is_no_matter_without_sessions(self, settings: Settings) -> None:
        settings.MIDDLEWARE = []
        assert run() == []

    def test_is_not_sent_where_any_page_may_connect(self, settings: Settings) -> None:
        settings.SOCKETIO_ALLOWED_ORIGINS = ["*"]
        (message,) = lost_cookies()
        assert "withCredentials" in message.msg


class TestDebug:
    """W003."""

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "www.example.com"])
    def test_where_others_can_reach_it_is_a_warning(self, host: str) -> None:
        with override_settings(DEBUG=True, SOCKETIO_HOST=host):
            (message,) = run()

        assert message.id == "socketio_server.W003"
        assert not message.is_serious(django_checks.ERROR)
        assert host in message.msg

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
    def test_on_this_machine_is_none(self, host: str) -> None:
        with override_settings(DEBUG=True, SOCKETIO_HOST=host):
            assert run() == []

    def test_turned_off_is_none(self) -> None:
        with override_settings(DEBUG=False, SOCKETIO_HOST="0.0.0.0"):
            assert run() == []


class TestSessions:
    """W011."""

    def test_in_cookies_are_a_warning(self) -> None:
        with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
            (message,) = run()
        assert message.id == "socketio_server.W011"
        assert not message.is_serious(django_checks.ERROR)

    def test_elsewhere_are_none(self) -> None:
        with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cached_db"):
            assert run() == []


POSTGRESQL = {"ENGINE": "django.db.backends.postgresql"}


class TestDatabaseConnections:
    """W004."""

    def test_more_handlers_than_a_server_allows_connections_is_a_warning(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(settings.DATABASES, "other", POSTGRESQL)
        (message,) = [message for message in run() if message.id == "socketio_server.W004"]

        assert not message.is_serious(django_checks.ERROR)
        assert "1000 handlers" in message.msg
        assert "'other'" in message.msg
        assert message.hint
        assert "SOCKETIO_MAX_CONCURRENT_HANDLERS" in message.hint

    def test_fewer_handlers_are_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(settings.DATABASES, "other", POSTGRESQL)
        with override_settings(SOCKETIO_MAX_CONCURRENT_HANDLERS=50):
            assert "socketio_server.W004" not in ids()

    def test_a_pool_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pooled = {**POSTGRESQL, "OPTIONS": {"pool": {"max_size": 20}}}
        monkeypatch.setitem(settings.DATABASES, "other", pooled)

        assert "socketio_server.W004" not in ids()


class TestDatabaseDrivers:
    """W002."""

    @pytest.fixture(autouse=True)
    def few_handlers(self) -> Iterator[None]:
        """Fewer than any database allows connections."""
        with override_settings(SOCKETIO_MAX_CONCURRENT_HANDLERS=50):
            yield

    @pytest.mark.parametrize(
        ("engine", "expected"),
        [
            ("django.db.backends.sqlite3", []),
            ("django.db.backends.mysql", ["socketio_server.W002"]),
            ("django.db.backends.oracle", ["socketio_server.W002"]),
            ("someone.elses.backend", []),
        ],
    )
    def test_one_that_waits_in_c_is_a_warning(
        self, monkeypatch: pytest.MonkeyPatch, engine: str, expected: list[str]
    ) -> None:
        monkeypatch.setitem(settings.DATABASES, "other", {"ENGINE": engine})

        assert ids() == expected

    @pytest.mark.parametrize(
        ("installed", "expected"), [(True, []), (False, ["socketio_server.W002"])]
    )
    def test_postgresql_is_one_without_psycopg_3(
        self, monkeypatch: pytest.MonkeyPatch, installed: bool, expected: list[str]
    ) -> None:
        psycopg = ModuleType("psycopg")
        psycopg.__spec__ = ModuleSpec("psycopg", None)
        monkeypatch.setitem(sys.modules, "psycopg", psycopg if installed else None)
        monkeypatch.setitem(
            settings.DATABASES, "other", {"ENGINE": "django.db.backends.postgresql"}
        )

        assert ids() == expected

    def test_it_names_the_database_and_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(settings.DATABASES, "other", {"ENGINE": "django.db.backends.mysql"})
        (message,) = run()

        assert "'other'" in message.msg
        assert message.hint
        assert not message.is_serious(django_checks.ERROR)


class TestBroker:
    """E006."""

    @override_settings(SOCKETIO_BROKER_URL="redis://localhost")
    def test_without_redis_py_a_broker_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert run() == []

        for module in ("redis", "redis_connections", "redis_publisher"):
            monkeypatch.delitem(sys.modules, f"socketio_server.cluster.{module}", raising=False)
        monkeypatch.setitem(sys.modules, "redis", None)
        (message,) = run()
        assert message.id == "socketio_server.E006"
        assert "pip install" in message.msg

    @override_settings(SOCKETIO_BROKER_URL="redis://localhost:port")
    def test_a_url_that_redis_py_does_not_understand_is_an_error(self) -> None:
        (message,) = run()
        assert message.id == "socketio_server.E006"
        assert message.msg.startswith("SOCKETIO_BROKER_URL can't be understood: ")

    @pytest.mark.parametrize("url", ["redis://one,two/0", "rediss://one:6379,two:6379"])
    def test_a_url_of_several_servers_is_an_error(self, url: str) -> None:
        with override_settings(SOCKETIO_BROKER_URL=url):
            (message,) = run()
        assert message.id == "socketio_server.E006"
        assert "Redis Cluster and shards are not supported" in message.msg

    @override_settings(SOCKETIO_BROKER_URL="localhost")
    def test_what_is_no_url_is_left_to_the_settings_own_check(self) -> None:
        assert ids() == ["socketio_server.E001"]


IN_MEMORY = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
SHARED = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://"}


class TestCaches:
    """W010."""

    @pytest.mark.parametrize("engine", ["cache", "cached_db"])
    def test_sessions_in_the_memory_of_each_process_are_warned_of(self, engine: str) -> None:
        with override_settings(
            SOCKETIO_BROKER_URL="redis://localhost",
            SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}",
        ):
            (message,) = run()
        assert message.id == "socketio_server.W010"
        assert message.msg.startswith("Sessions are in the cache 'default'")

    @override_settings(
        SOCKETIO_BROKER_URL="redis://localhost",
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        SESSION_CACHE_ALIAS="shared",
        CACHES={"default": IN_MEMORY, "shared": SHARED},
    )
    def test_a_cache_in_the_memory_of_each_process_is_warned_of(self) -> None:
        (message,) = run()
        assert message.id == "socketio_server.W010"
        assert message.msg.startswith("Each process has the cache 'default' in its own memory")

    @override_settings(
        SOCKETIO_BROKER_URL="redis://localhost",
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        CACHES={"default": SHARED},
    )
    def test_those_that_all_processes_share_are_none(self) -> None:
        assert run() == []

    @override_settings(
        CACHES={"default": IN_MEMORY}, SESSION_ENGINE="django.contrib.sessions.backends.cache"
    )
    def test_one_process_may_have_them_in_its_memory(self) -> None:
        assert run() == []

    @override_settings(SOCKETIO_BROKER_URL="localhost", CACHES={"default": IN_MEMORY})
    def test_what_is_no_url_is_left_to_the_settings_own_check(self) -> None:
        assert ids() == ["socketio_server.E001"]


class TestNamespaces:
    """E007."""

    @pytest.fixture(autouse=True)
    def registry(self, monkeypatch: pytest.MonkeyPatch) -> Registry:
        registry = Registry()
        monkeypatch.setattr(checks, "REGISTRY", registry)
        return registry

    @override_settings(SOCKETIO_BROKER_URL="redis://localhost")
    def test_one_that_no_client_may_join_with_a_broker_is_an_error(
        self, registry: Registry
    ) -> None:
        registry.on("move", namespace="/game#1")(lambda request, socket, context: None)
        registry.on_connect(lambda request, socket, context: None, namespace="/game")
        (message,) = run()
        assert message.id == "socketio_server.E007"
        assert message.msg.startswith("A handler is for the namespace '/game#1', which no client")

    def test_one_that_clients_may_join_without_a_broker_is_none(self, registry: Registry) -> None:
        registry.on_connect(lambda request, socket, context: None, namespace="/game#1")
        assert run() == []

    @override_settings(SOCKETIO_BROKER_URL="localhost")
    def test_what_is_no_url_is_left_to_the_settings_own_check(self, registry: Registry) -> None:
        registry.on_connect(lambda request, socket, context: None, namespace="/game#1")
        assert ids() == ["socketio_server.E001"]


class TestBrokerPrefix:
    """W005, with ``--deploy``."""

    def deploy(self) -> list[str | None]:
        """Return the ids of what ``manage.py check --deploy`` says, but of the demo's channels."""
        messages = django_checks.run_checks(
            tags=["socketio_server"], include_deployment_checks=True
        )
        return [message.id for message in messages if message.id != "socketio_server.W009"]

    @pytest.mark.parametrize(
        "url",
        [
            "redis://localhost/1",
            "redis://localhost?db=1",
            "unix:///run/redis.sock?db=1",
            "redis+sentinel://one/main/1",
        ],
    )
    def test_a_database_that_keeps_nobody_apart_is_warned_of(self, url: str) -> None:
        with override_settings(SOCKETIO_BROKER_URL=url):
            assert self.deploy() == ["socketio_server.W005"]
            assert run() == []

    @pytest.mark.parametrize("url", ["redis://localhost", "redis://localhost/0", "unix:///run/1"])
    def test_database_0_is_none(self, url: str) -> None:
        with override_settings(SOCKETIO_BROKER_URL=url):
            assert self.deploy() == []

    @override_settings(SOCKETIO_BROKER_URL="redis://localhost/1", SOCKETIO_BROKER_PREFIX="staging")
    def test_a_prefix_keeps_servers_apart(self) -> None:
        assert self.deploy() == []

    @override_settings(SOCKETIO_BROKER_URL="localhost")
    def test_what_is_no_url_is_left_to_the_settings_own_check(self) -> None:
        assert self.deploy() == ["socketio_server.E001"]


class TestHandlers:
    """E008, W008 and W009."""

    @pytest.fixture(autouse=True)
    def registry(self, monkeypatch: pytest.MonkeyPatch) -> Registry:
        """Let the checks see the handlers of a test."""
        registry = Registry()
        monkeypatch.setattr(checks, "REGISTRY", registry)
        return registry

    def test_a_decorator_for_views_is_found(self, registry: Registry) -> None:
        from django.contrib.auth import decorators

        for decorate in (
            decorators.login_required,
            decorators.permission_required("auth.add_user"),
            decorators.user_passes_test(bool),
        ):

            @registry.on_connect
            @wraps(handler)
            @decorate
            def connect(*args: Any) -> Any: ...

        registry.on_message(decorators.login_required(handler))
        assert ids() == ["socketio_server.E008"] * 4
        assert "on_connect handler `" in run()[0].msg

    def test_our_own_decorators_are_fine(self, registry: Registry) -> None:
        registry.on_connect(login_required(handler))

        assert ids() == []

    def test_an_authorize_that_guards_what_nobody_uses_is_warned_of(
        self, registry: Registry
    ) -> None:
        registry.authorize(channel="^rom-")(handler)
        registry.on_message(channel="^room-")(handler)

        (warning,) = run()
        assert warning.id == "socketio_server.W008"
        assert "'^rom-'" in warning.msg
        assert warning.hint is not None
        assert "'^room-'" in warning.hint

    @pytest.mark.parametrize("channel", ["^room-", "^room-1", "^ro", "^.*", None, "^(rom|room)-"])
    def test_one_that_may_match_is_fine(self, registry: Registry, channel: str | None) -> None:
        registry.authorize(channel=channel)(handler)
        registry.on_message(channel="^room-")(handler)

        assert ids() == []

    def test_one_is_fine_where_any_channel_may_be_in_use(self, registry: Registry) -> None:
        registry.authorize(channel="^rom-")(handler)
        assert ids() == []

        registry.on_message(channel="^room-")(handler)
        registry.on_subscribe(handler)
        assert ids() == []

    def test_one_of_another_namespace_is_not_compared(self, registry: Registry) -> None:
        registry.authorize(channel="^rom-", namespace="/chat")(handler)
        registry.on_message(channel="^room-")(handler)

        assert ids() == []

    @pytest.mark.parametrize(
        ("name", "decorator"),
        [
            ("connection", "on_connect"),
            ("subscribe", "on_subscribe"),
            ("unsubscribe", "on_unsubscribe"),
            ("on_message", "on_message"),
        ],
    )
    def test_one_for_an_event_that_no_client_sends_by_itself_is_warned_of(
        self, registry: Registry, name: str, decorator: str
    ) -> None:
        registry.on(name)(handler)
        registry.on("news")(handler)

        (message,) = run()
        assert message.id == "socketio_server.W012"
        assert f"waits for an event {name!r}, which no client sends by itself." in message.msg
        assert (message.hint or "").startswith(f"Write @events.{decorator}; ")

    def deploy(self) -> list[str]:
        """Return what is said of the channels with ``--deploy``."""
        found = checks.check_unguarded_channels(None)
        return [message.msg for message in found if message.id == "socketio_server.W009"]

    def test_channels_that_no_authorize_covers_are_warned_of_before_the_site_goes_live(
        self, registry: Registry
    ) -> None:
        registry.on_message(channel="^room-")(handler)
        registry.authorize(channel="^room-1")(handler)
        registry.authorize(channel="^room-", namespace="/chat")(handler)

        (text,) = self.deploy()
        assert text.startswith("Every client may subscribe to channels like '^room-': ")

    @pytest.mark.parametrize("channel", [r"^room-(\d+)$", "^ro", None])
    def test_those_that_one_covers_are_fine(self, registry: Registry, channel: str | None) -> None:
        registry.on_message(channel="^room-")(handler)
        registry.authorize(channel=channel)(handler)

        assert self.deploy() == []

    @override_settings(SOCKETIO_SUBSCRIBE_DEFAULT="deny")
    def test_all_are_fine_where_the_default_is_to_deny(self, registry: Registry) -> None:
        registry.on_message(channel="^room-")(handler)

        assert self.deploy() == []


def handler(*args: Any) -> Any:
    """Any handler."""
