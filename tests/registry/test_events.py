"""The registry: its events, and the decorators that register handlers.

Pure: nothing here runs a handler; what running means is in ``tests/dispatch``.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from socketio_server import events
from socketio_server.exceptions import EventError
from socketio_server.registry.events import (
    REGISTRY,
    Event,
    Registry,
)
from tests.dispatch.journal import EVERY_EVENT
from tests.registry.steps import event, handler, make, selected, selected_for

WITH_CHANNELS = [name for name in EVERY_EVENT if name != "on_connect"]


class TestTheSevenEvents:
    @pytest.mark.parametrize("name", EVERY_EVENT)
    def test_each_is_a_decorator_of_the_module(self, name: str) -> None:
        assert isinstance(getattr(events, name), Event)
        assert getattr(events, name) is getattr(REGISTRY, name)
        assert getattr(events, name).name == name

    def test_what_an_events_py_imports_is_listed(self) -> None:
        assert set(EVERY_EVENT) | {"on", "Reject", "EventError", "EVERYONE"} <= set(events.__all__)
        assert all(hasattr(events, name) for name in events.__all__)

    def test_a_registry_goes_through_its_events_in_the_order_of_a_connection(
        self, registry: Registry
    ) -> None:
        assert [e.name for e in registry] == ["on_connect", "authorize", *EVERY_EVENT[1:]]

    def test_registries_have_nothing_in_common(self, registry: Registry) -> None:
        registry.on_message(handler)

        assert registry.on_message.registrations
        assert not Registry().on_message.registrations


class TestDecorating:
    @pytest.mark.parametrize("name", EVERY_EVENT)
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
        path = re.escape(handler.__code__.co_filename)
        with pytest.raises(
            EventError,
            match=r"^The on_connect event does not support channels so the handler "
            rf"`handler` \({path}:\d+\) could not be registered: a client that ",
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
        assert re.search(r"is not a regular expression: .+ at position \d", text)
        assert text.endswith('; for all channels write ".*"') is (pattern == "*")
        assert not event(registry, name).registrations

    @pytest.mark.parametrize("pattern", [5, b"^room-", ["^a", "^b"], re.compile(b"^room-"), True])
    def test_a_pattern_is_a_string(self, registry: Registry, pattern: Any) -> None:
        with pytest.raises(EventError, match=r"`handler` \(.*it must be a string$"):
            registry.on_message(channel=pattern)(handler)

    def test_a_pattern_may_be_compiled(self, registry: Registry) -> None:
        registry.on_message(channel=re.compile("^ROOM-", re.IGNORECASE))(handler)

        assert selected(registry.on_message, ["room-1"]) == [handler]

    @pytest.mark.parametrize("namespace", ["admin", "", 5, None, b"/admin", re.compile(b"/")])
    def test_a_namespace_begins_with_a_slash(self, registry: Registry, namespace: Any) -> None:
        with pytest.raises(EventError, match=r"namespace .*`handler` \(.* begins with a slash"):
            registry.on_message(namespace=namespace)(handler)

    def test_a_pattern_in_the_place_of_the_handler_says_what_to_write(
        self, registry: Registry
    ) -> None:
        pattern: Any = "^room-"
        with pytest.raises(EventError, match=r"""'\^room-' .*@events\.on_message\(channel="""):
            registry.on_message(pattern)

    def test_nothing_is_registered_then(self, registry: Registry) -> None:
        decorators: list[Callable[[], object]] = [
            lambda: registry.on_message(channel="(")(handler),
            lambda: registry.on_message(namespace="admin")(handler),
            lambda: registry.on_message(lambda request, socket, context: None),
            lambda: registry.on("news")(lambda request: None),
        ]
        for decorate in decorators:
            with pytest.raises(EventError):
                decorate()

        assert not any(event.registrations for event in registry)


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

    def test_the_decorator_needs_the_event_s_name(self, registry: Registry) -> None:
        on: Any = registry.on
        line = handler.__code__.co_firstlineno
        with pytest.raises(EventError) as raised:
            on(handler)  # @events.on alone

        assert '@events.on("news")' in str(raised.value)
        assert f"`handler` ({handler.__code__.co_filename}:{line})" in str(raised.value)

    @pytest.mark.parametrize("name", [None, 5, b"news", True])
    def test_that_is_a_string(self, registry: Registry, name: Any) -> None:
        with pytest.raises(EventError, match="needs the name of an event"):
            registry.on(name)

    def test_an_invalid_pattern_is_refused(self, registry: Registry) -> None:
        with pytest.raises(EventError, match="`handler`"):
            registry.on("news", channel="(")(handler)

    def test_a_registry_goes_through_them_as_well(self, registry: Registry) -> None:
        registry.on("news")(handler)

        assert "news" in [e.name for e in registry]
