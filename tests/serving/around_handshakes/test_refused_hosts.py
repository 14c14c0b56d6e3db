"""Handshakes that Django's middleware refuses before our view is asked."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import RequestFactory, override_settings
from django.urls import reverse

from socketio_server.engine.engine import Engine
from socketio_server.net.statistics import Stats
from socketio_server.options import Options
from socketio_server.serving.around_handshakes import refused_hosts
from tests.fakes.engine import RecordingSessionHandler
from tests.fakes.loop import FakeLoop

pytestmark = pytest.mark.django_db  # Django looks at its connections around each request


@pytest.fixture
def engine() -> Engine:
    loop = FakeLoop()
    return Engine(
        loop,
        Options(),
        lambda session, context: RecordingSessionHandler(),
        Stats(loop.clock),
        clock=loop.clock,
    )


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    with override_settings(
        ALLOWED_HOSTS=["example.com"],
        DEBUG=False,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ):
        yield


def ask(engine: Engine, host: str, **params: str) -> int:
    """Ask Django for the handshake; return the status."""
    environ: dict[str, Any] = RequestFactory().get(reverse("socketio"), params).environ
    environ["HTTP_HOST"] = host
    statuses: list[str] = []
    application = refused_hosts.watch(WSGIHandler(), engine)
    application(environ, lambda status, headers: statuses.append(status))
    return int(statuses[0].split()[0])


class TestAHostThatIsNotOurs:
    def test_is_counted_and_logged_with_its_name_and_the_setting(
        self, engine: Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert ask(engine, "evil.test", EIO="4", transport="polling") == 400

        assert engine.stats.refusals.counts == {"host": 1}
        assert "host 'evil.test' is not in ALLOWED_HOSTS (from 127.0.0.1)" in caplog.text

    def test_of_other_pages_is_django_s_business(self, engine: Engine) -> None:
        assert ask(engine, "evil.test") == 400

        assert not engine.stats.refusals.counts


class TestOurHost:
    def test_is_not_counted(self, engine: Engine) -> None:
        assert ask(engine, "example.com", EIO="4", transport="polling") == 503  # none runs

        assert not engine.stats.refusals.counts
