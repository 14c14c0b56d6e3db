"""System checks: handlers."""

from functools import wraps
from typing import Any

import pytest
from django.test import override_settings

from socketio_server.checks import handlers
from socketio_server.decorators import login_required
from socketio_server.events import Registry
from tests.checks.run import ids, run


class TestHandlers:
    """E008, W008 and W009."""

    @pytest.fixture(autouse=True)
    def registry(self, monkeypatch: pytest.MonkeyPatch) -> Registry:
        """Let the checks see the handlers of a test."""
        registry = Registry()
        monkeypatch.setattr(handlers, "REGISTRY", registry)
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
        found = handlers.check_unguarded_channels(None)
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
