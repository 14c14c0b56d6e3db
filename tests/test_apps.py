"""The app: which modules with handlers are found, and what is wired at start."""

import datetime
import sys
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core import checks as django_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils.translation import gettext_lazy

from socketio_server.apps import SocketIOConfig
from socketio_server.clients import CLIENTS
from socketio_server.registry.events import REGISTRY
from socketio_server.serving import current

MakeModule = Callable[[str, str], str]


@pytest.fixture
def make_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeModule]:
    """Write a module, ``package.events`` say; return the name of its package."""
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)

    def make(module: str, source: str) -> str:
        package, _, name = module.rpartition(".")
        folder = tmp_path / package.replace(".", "/") if package else tmp_path
        folder.mkdir(exist_ok=True)
        if package:
            (folder / "__init__.py").touch()
        (folder / f"{name}.py").write_text(source)
        return package

    yield make
    for module in set(sys.modules) - known:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[module]


def found_modules(*, installed: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Start Django's apps anew, with further ones; return the modules that were found."""
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, *installed]):
        return app_config().events_modules


def app_config() -> SocketIOConfig:
    config = apps.get_app_config("socketio_server")
    assert isinstance(config, SocketIOConfig)
    return config


class TestAppsModules:
    """``events.py`` of every installed app."""

    def test_are_imported(self, make_module: MakeModule) -> None:
        app = make_module("app_with_events.events", "imported = True")

        assert "app_with_events.events" in found_modules(installed=(app,))
        assert sys.modules["app_with_events.events"].imported

    def test_an_app_without_one_is_fine(self, make_module: MakeModule) -> None:
        app = make_module("app_without_events.models", "")

        assert not [name for name in found_modules(installed=(app,)) if name.startswith(app)]

    def test_the_package_s_own_registry_is_none(self) -> None:
        assert "socketio_server.events" not in found_modules()

    @pytest.mark.parametrize(
        ("source", "error"),
        [
            ("import no_such_module_anywhere", ModuleNotFoundError),
            ("from socketio_server.events import no_such_event", ImportError),
            ("1 / 0", ZeroDivisionError),
            ("this is no Python", SyntaxError),
        ],
    )
    def test_what_they_raise_is_raised_at_start(
        self, make_module: MakeModule, source: str, error: type[Exception]
    ) -> None:
        app = make_module("app_that_raises.events", source)
        with pytest.raises(error):
            found_modules(installed=(app,))


class TestProjectModules:
    """The top-level ``events`` beside ``manage.py``, or what ``SOCKETIO_EVENTS`` names."""

    def test_by_default_it_is_the_top_level_module(self) -> None:
        assert found_modules() == ("events",)

    def test_where_there_is_none_that_is_fine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "events", None)  # it can't be found then

        assert found_modules() == ()

    @override_settings(SOCKETIO_EVENTS=["handlers_one", "handlers_two"])
    def test_named_ones_are_imported_instead(self, make_module: MakeModule) -> None:
        make_module("handlers_one", "")
        make_module("handlers_two", "")

        assert found_modules() == ("handlers_one", "handlers_two")
        assert {"handlers_one", "handlers_two"} <= sys.modules.keys()

    @override_settings(SOCKETIO_EVENTS=[])
    def test_there_may_be_none(self) -> None:
        assert found_modules() == ()

    @override_settings(SOCKETIO_EVENTS=["app_named_twice.events"])
    def test_one_that_is_an_app_s_too_is_found_once(self, make_module: MakeModule) -> None:
        app = make_module("app_named_twice.events", "")

        assert found_modules(installed=(app,)) == ("app_named_twice.events",)

    @override_settings(SOCKETIO_EVENTS=["no_such_module_anywhere"])
    def test_one_that_is_missing_is_an_error_that_names_the_setting(self) -> None:
        with pytest.raises(
            ImproperlyConfigured, match=r"^SOCKETIO_EVENTS names 'no_such_module_anywhere', and"
        ):
            found_modules()

    @override_settings(SOCKETIO_EVENTS=["handlers_of.nobody"])
    def test_as_is_one_that_is_missing_in_a_package(self, make_module: MakeModule) -> None:
        make_module("handlers_of.somebody", "")
        with pytest.raises(ImproperlyConfigured, match=r"no module 'handlers_of\.nobody'"):
            found_modules()

    @override_settings(SOCKETIO_EVENTS=["handlers_that_import"])
    def test_what_it_imports_itself_is_another_matter(self, make_module: MakeModule) -> None:
        make_module("handlers_that_import", "import no_such_module_anywhere")
        with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
            found_modules()

    @pytest.mark.parametrize("value", ["events", [1], 5, [""], [".events"], ["chat/events.py"]])
    def test_a_setting_that_makes_no_sense_is_left_to_the_checks(self, value: object) -> None:
        with override_settings(SOCKETIO_EVENTS=value):
            assert found_modules() == ()


class TestStart:
    def test_handlers_are_registered_once_however_often_apps_are_started(self) -> None:
        before = [len(event.registrations) for event in REGISTRY]
        found_modules()

        assert [len(event.registrations) for event in REGISTRY] == before

    def test_no_server_runs(self) -> None:
        assert current.server is None

    def test_the_checks_are_registered(self) -> None:
        assert django_checks.tag_exists("socketio_server")


class TestEncoder:
    """Messages take what Django's own JSON encoder takes."""

    @pytest.mark.parametrize(
        ("value", "json"),
        [
            (datetime.date(2026, 1, 2), b'"2026-01-02"'),
            (
                datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
                b'"2026-01-02T03:04:05Z"',
            ),
            (datetime.time(3, 4, 5), b'"03:04:05"'),
            (Decimal("1.10"), b'"1.10"'),
            (
                uuid.UUID("12345678-1234-5678-1234-567812345678"),
                b'"12345678-1234-5678-1234-567812345678"',
            ),
            (gettext_lazy("You"), b'"You"'),
        ],
    )
    def test_values_that_django_knows_go_as_text(self, value: object, json: bytes) -> None:
        assert CLIENTS.encode("/", "message", (value,)).packets == [b'42["message",%b]' % json]

    def test_what_neither_takes_is_a_type_error(self) -> None:
        with pytest.raises(TypeError):
            CLIENTS.encode("/", "message", (object(),))
