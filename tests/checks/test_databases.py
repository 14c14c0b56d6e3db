"""System checks: databases and sessions."""

import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
from django.conf import settings
from django.core import checks as django_checks
from django.test import override_settings

from tests.checks.run import ids, run


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
