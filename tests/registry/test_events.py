"""The registry: decorators, channel patterns, which handlers run when (semantics, 1).

Pure: nothing here runs a handler; what running means is in ``tests/dispatch``.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from socketio_server import events
from socketio_server.exceptions import EventError
from socketio_server.registry.events import REGISTRY, Event, Registration, Registry

SEVEN = [
    "on_connect",
    "on_subscribe",
    "on_message",
    "on_unsubscribe",
    "on_error",
    "on_disconnect",
    "on_finish",
]
WITH_CHANNELS = [name for name in SEVEN if name != "on_connect"]
BY_CHANNELS_HELD = ["on_message", "on_error", "on_disconnect", "on_finish"]
BY_ITS_OWN_CHANNEL = ["on_subscribe", "on_unsubscribe"]


def handler(*args: object) -> None:
    """Any handler."""


def make(name: str) -> Callable[..., None]:
    """Make another handler."""

    def made(*args: object) -> None: ...

    made.__name__ = name
    return made


@pytest.fixture
def registry() -> Registry:
    return Registry()


def event(registry: Registry, name: str) -> Event:
    found = getattr(registry, name)
    assert isinstance(found, Event)
    return found


def selected(
    chosen: Event, channels: Sequence[str] = (), namespace: str = "/"
) -> list[Callable[..., Any]]:
    """The handlers that run for a socket on these channels."""
    return [registration.handler for registration in chosen.select(namespace, channels)]


def selected_for(chosen: Event, channel: str, namespace: str = "/") -> list[Callable[..., Any]]:
    """The handlers that run for a subscription to a channel, or its end."""
    return [registration.handler for registration in chosen.select_for(namespace, channel)]


class TestTheSevenEvents:
    @pytest.mark.parametrize("name", SEVEN)
    def test_each_is_a_decorator_of_the_module(self, name: str) -> None:
        assert isinstance(getattr(events, name), Event)
        assert getattr(events, name) is getattr(REGISTRY, name)
        assert getattr(events, name).name == name

    def test_what_an_events_py_imports_is_listed(self) -> None:
        assert set(SEVEN) | {"on", "Reject", "EventError", "EVERYONE"} <= set(events.__all__)
        assert all(hasattr(events, name) for name in events.__all__)

    def test_a_registry_goes_through_its_events_in_the_order_of_a_connection(
        self, registry: Registry
    ) -> None:
        assert [e.name for e in registry] == SEVEN

    def test_registries_have_nothing_in_common(self, registry: Registry) -> None:
        registry.on_message(handler)

        assert registry.on_message.registrations
        assert not Registry().on_message.registrations


class TestDecorating:
    @pytest.mark.parametrize("name", SEVEN)
    @pytest.mark.parametrize(
        "decorate",
        [
            pytest.param(lambda e: e(handler), id="bare"),
            pytest.param(lambda e: e()(handler), id="called"),
            pytest.param(lambda e: e(channel=None)(handler), id="called with no channel"),
        ],
    )
    def test_it_works_bare_and_called(
        self, registry: Registry, name: str, decorate: Callable[[Event], object]
    ) -> None:
        decorated = decorate(event(registry, name))

        assert decorated is handler  # unchanged
        assert selected(event(registry, name)) == [handler]

    @pytest.mark.parametrize("name", WITH_CHANNELS)
    @pytest.mark.parametrize(
        "decorate",
        [
            pytest.param(lambda e: e(channel="^room-")(handler), id="by name"),
            pytest.param(lambda e: e(handler, "^room-"), id="with the handler"),
        ],
    )
    def test_it_works_with_a_channel_pattern(
        self, registry: Registry, name: str, decorate: Callable[[Event], object]
    ) -> None:
        decorated = decorate(event(registry, name))

        assert decorated is handler
        assert selected_for(event(registry, name), "room-1") == [handler]
        assert selected_for(event(registry, name), "other") == []

    def test_a_handler_may_be_decorated_again(self, registry: Registry) -> None:
        @registry.on_message
        @registry.on_message(channel="^room-")
        @registry.on_connect
        def several(*args: object) -> None: ...

        assert selected(registry.on_connect) == [several]
        assert selected(registry.on_message) == [several]
        assert selected(registry.on_message, ["room-1"]) == [several]

    def test_one_that_is_registered_twice_runs_twice(self, registry: Registry) -> None:
        registry.on_message(handler)
        registry.on_message(handler)

        assert selected(registry.on_message) == [handler, handler]

    @pytest.mark.parametrize(
        "callable_", [partial(handler, 1), type("Handler", (), {"__call__": handler})(), print]
    )
    def test_any_callable_will_do(
        self, registry: Registry, callable_: Callable[..., object]
    ) -> None:
        assert registry.on_message(callable_) is callable_
        assert selected(registry.on_message) == [callable_]

    def test_handlers_stand_in_the_order_of_their_registration(self, registry: Registry) -> None:
        handlers = [make(name) for name in "abc"]
        for one, pattern in zip(handlers, ("^room", None, "^room-1"), strict=True):
            registry.on_subscribe(channel=pattern)(one)

        assert selected_for(registry.on_subscribe, "room-1") == handlers


class TestWhatIsRefused:
    def test_on_connect_takes_no_channel(self, registry: Registry) -> None:
        with pytest.raises(
            EventError,
            match=r"^The on_connect event does not support channels so the handler "
            r"`handler` could not be registered$",
        ):
            registry.on_connect(channel="^room-")(handler)

        assert not registry.on_connect.registrations

    @pytest.mark.parametrize("name", WITH_CHANNELS)
    @pytest.mark.parametrize("pattern", ["(", "*", "[a-", r"\q", "(?P<x"])
    def test_an_invalid_pattern_names_the_handler(
        self, registry: Registry, name: str, pattern: str
    ) -> None:
        with pytest.raises(EventError) as raised:
            event(registry, name)(channel=pattern)(handler)

        text = str(raised.value)
        assert "`handler`" in text
        assert repr(pattern) in text
        assert name in text
        assert isinstance(raised.value.__cause__, re.error)
        assert not event(registry, name).registrations


CHANNELS_HELD = [
    # pattern, channels held, whether the handler runs
    (None, [], True),
    (None, ["room-1"], False),
    ("^room-", [], False),
    ("^room-", ["room-1"], True),
    ("^room-", ["other"], False),
    ("^room-", ["other", "room-1"], True),
    ("^room-", ["room-1", "room-2"], True),
    ("room-", ["room-1"], True),
    ("room-", ["my-room-1"], False),  # as with re.match: from the beginning
    ("room", ["room-1"], True),  # but not to the end
    ("room$", ["room-1"], False),
    (".*", [""], True),
    ("ROOM", ["room"], False),
    ("(?i)ROOM", ["room"], True),
    ("a|b", ["b"], True),
]


class TestChannelsHeld:
    """A message, an error, a disconnect and a finish: by the channels that the socket is on."""

    @pytest.mark.parametrize("name", BY_CHANNELS_HELD)
    @pytest.mark.parametrize(("pattern", "channels", "runs"), CHANNELS_HELD)
    def test_which_handlers_run(
        self,
        registry: Registry,
        name: str,
        pattern: str | None,
        channels: list[str],
        runs: bool,
    ) -> None:
        event(registry, name)(channel=pattern)(handler)

        assert selected(event(registry, name), channels) == ([handler] if runs else [])

    def test_each_runs_once_however_many_channels_match(self, registry: Registry) -> None:
        registry.on_message(channel="^room-")(handler)

        assert selected(registry.on_message, ["room-1", "room-2", "room-3"]) == [handler]


class TestTheEventsOwnChannel:
    """A subscription and its end: by the channel that it is about."""

    @pytest.mark.parametrize("name", BY_ITS_OWN_CHANNEL)
    @pytest.mark.parametrize(
        ("pattern", "channel", "runs"),
        [
            (None, "room-1", True),
            (None, "anything", True),
            ("^room-", "room-1", True),
            ("^room-", "other", False),
            ("room-", "my-room-1", False),
            ("room", "room-1", True),
            ("room$", "room-1", False),
        ],
    )
    def test_which_handlers_run(
        self, registry: Registry, name: str, pattern: str | None, channel: str, runs: bool
    ) -> None:
        event(registry, name)(channel=pattern)(handler)

        assert selected_for(event(registry, name), channel) == ([handler] if runs else [])


class CountingPattern:
    """A pattern that counts how often it is tried."""

    def __init__(self) -> None:
        self.tries = 0

    def match(self, name: str) -> None:
        self.tries += 1


class TestSlowPatterns:
    def test_are_tried_once_per_name(self, registry: Registry) -> None:
        """Clients choose the names, and may choose those on which a pattern is slow."""
        pattern: Any = CountingPattern()
        registration = Registration(handler, pattern, "/", ())
        for event in (registry.on_subscribe, registry.on_message, registry.on_unsubscribe):
            event.registrations.append(registration)
        for _ in range(3):
            registry.on_subscribe.select_for("/", "room-1")
            registry.on_message.select("/", ["room-1"])
            registry.on_unsubscribe.select_for("/", "room-1")

        assert pattern.tries == 1


class TestNamespaces:
    @pytest.mark.parametrize(
        ("namespace", "joined", "runs"),
        [
            (None, "/", True),
            (None, "/admin", False),
            ("/admin", "/admin", True),
            ("/admin", "/", False),
            ("/admin", "/administrators", False),
            (re.compile(r"/room-\d+$"), "/room-7", True),
            (re.compile(r"/room-\d+$"), "/room-x", False),
            (re.compile(r"/room-\d+$"), "/", False),
            (re.compile(r"/room-"), "/my/room-1", False),
        ],
    )
    @pytest.mark.parametrize("name", SEVEN)
    def test_handlers_run_in_their_own(
        self,
        registry: Registry,
        name: str,
        namespace: str | re.Pattern[str] | None,
        joined: str,
        runs: bool,
    ) -> None:
        chosen = event(registry, name)
        if namespace is None:
            chosen(handler)
        else:
            chosen(namespace=namespace)(handler)
        expected = [handler] if runs else []

        assert selected(chosen, namespace=joined) == expected
        assert selected_for(chosen, "any", namespace=joined) == expected

    def test_clients_may_join_those_that_have_a_handler(self, registry: Registry) -> None:
        registry.on_message(namespace="/admin")(handler)
        registry.on("news", namespace=re.compile(r"/news-"))(handler)

        assert registry.has_namespace("/")
        assert registry.has_namespace("/admin")
        assert registry.has_namespace("/news-1")
        assert not registry.has_namespace("/other")

    def test_the_main_one_may_be_joined_without_any(self, registry: Registry) -> None:
        assert registry.has_namespace("/")
        assert not registry.has_namespace("/admin")


class TestCustomEvents:
    def test_a_handler_is_returned_unchanged(self, registry: Registry) -> None:
        assert registry.on("news")(handler) is handler

    def test_it_is_found_by_the_event_s_name(self, registry: Registry) -> None:
        registry.on("news")(handler)

        assert selected(registry.custom["news"]) == [handler]
        assert "other" not in registry.custom

    def test_several_stand_in_the_order_of_their_registration(self, registry: Registry) -> None:
        handlers = [make(name) for name in "abc"]
        for one in handlers:
            registry.on("news")(one)

        assert selected(registry.custom["news"]) == handlers

    @pytest.mark.parametrize("channels", [[], ["room-1"], ["other"]])
    def test_without_a_pattern_it_runs_always(
        self, registry: Registry, channels: list[str]
    ) -> None:
        registry.on("news")(handler)

        assert selected(registry.custom["news"], channels) == [handler]

    @pytest.mark.parametrize(("channels", "runs"), [([], False), (["room-1"], True)])
    def test_with_one_while_the_socket_holds_a_matching_channel(
        self, registry: Registry, channels: list[str], runs: bool
    ) -> None:
        registry.on("news", channel="^room-")(handler)

        assert selected(registry.custom["news"], channels) == ([handler] if runs else [])

    @pytest.mark.parametrize(
        "name",
        [
            "connect",
            "connect_error",
            "disconnect",
            "disconnecting",
            "newListener",
            "removeListener",
            "message",
            "__subscribe__",
            "__unsubscribe__",
        ],
    )
    def test_names_that_are_taken_are_refused(self, registry: Registry, name: str) -> None:
        with pytest.raises(EventError, match=repr(name)):
            registry.on(name)

        assert registry.custom == {}

    def test_an_invalid_pattern_is_refused(self, registry: Registry) -> None:
        with pytest.raises(EventError, match="`handler`"):
            registry.on("news", channel="(")(handler)

    def test_a_registry_goes_through_them_as_well(self, registry: Registry) -> None:
        registry.on("news")(handler)

        assert "news" in [e.name for e in registry]
