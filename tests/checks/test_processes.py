"""System checks: several processes."""

import sys

import pytest
from django.core import checks as django_checks
from django.test import override_settings

from socketio_server.checks import processes
from socketio_server.events import Registry
from tests.checks.run import ids, run


class TestBroker:
    """E006."""

    @override_settings(SOCKETIO_BROKER_URL="redis://localhost")
    def test_without_redis_py_a_broker_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert run() == []

        for module in ("redis.broker", "redis.connections", "redis.publisher"):
            monkeypatch.delitem(sys.modules, f"socketio_server.cluster.{module}", raising=False)
        monkeypatch.setitem(sys.modules, "redis", None)
        (message,) = run()
        assert message.id == "socketio_server.E006"
        assert 'pip install "django-socketio-server[redis]"' in message.msg
        assert message.hint is not None
        assert message.hint.startswith("Or remove SOCKETIO_BROKER_URL")

    @override_settings(SOCKETIO_BROKER_URL="redis://localhost:port")
    def test_a_url_that_redis_py_does_not_understand_is_an_error(self) -> None:
        (message,) = run()
        assert message.id == "socketio_server.E006"
        assert message.msg.startswith("SOCKETIO_BROKER_URL can't be understood: ")
        assert message.hint is not None
        assert message.hint.startswith("It is as redis://user:password@host:6379/0, redis://:pass")

    @pytest.mark.parametrize("url", ["redis://one,two/0", "rediss://one:6379,two:6379"])
    def test_a_url_of_several_servers_is_an_error(self, url: str) -> None:
        with override_settings(SOCKETIO_BROKER_URL=url):
            (message,) = run()
        assert message.id == "socketio_server.E006"
        assert "Redis Cluster and shards are not supported" in message.msg

    @override_settings(SOCKETIO_BROKER_URL="redis+sentinel://user:secret@one,two/")
    def test_a_url_of_sentinels_names_what_they_watch_over(self) -> None:
        (message,) = run()
        assert message.id == "socketio_server.E006"
        assert message.msg == (
            "SOCKETIO_BROKER_URL can't be understood: it names no service: "
            "redis+sentinel://one,two/service/0"
        )

    @pytest.mark.parametrize("url", ["", " "])
    def test_an_empty_url_is_none(self, url: str) -> None:
        with override_settings(SOCKETIO_BROKER_URL=url):
            assert run() == []

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
        monkeypatch.setattr(processes, "REGISTRY", registry)
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
