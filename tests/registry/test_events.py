"""The registry: decorators, channel patterns, which handlers run when.

Pure: nothing here runs a handler; what running means is in ``tests/dispatch``.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial, wraps
from typing import Any

import pytest

from socketio_server import events
from socketio_server.exceptions import EventError
from socketio_server.registry.events import (
    MAX_CACHED_NAME,
    REGISTRY,
    Event,
    Registration,
    Registry,
)
from tests.dispatch.journal import EVERY_EVENT

WITH_CHANNELS = [name for name in EVERY_EVENT if name != "on_connect"]
BY_CHANNELS_HELD = ["on_message", "on_error"]
AT_THE_END = ["on_disconnect", "on_finish"]
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
        with pytest.raises(
            EventError,
            match=r"^The on_connect event does not support channels so the handler "
            rf"`handler` \({re.escape(__file__)}:\d+\) could not be registered: a client that ",
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


class TestSignatures:
    """A handler must take what its event gives it, and run when it is called."""

    @pytest.mark.parametrize(
        ("name", "function"),
        [
            ("on_connect", lambda request, socket, context: None),
            ("on_connect", lambda request, socket, context, more=1: None),
            ("on_connect", lambda request, *args: None),
            ("on_connect", lambda request, socket, context, *, more=1: None),
            ("on_message", lambda request, socket, context, message: None),
            ("on_message", lambda *args, **kwargs: None),
            ("on_message", lambda request, socket, context, message, /: None),
            ("on_message", partial(lambda extra, r, s, c, message: None, 1)),
        ],
    )
    def test_what_fits_is_taken(
        self, registry: Registry, name: str, function: Callable[..., object]
    ) -> None:
        assert event(registry, name)(function) is function

    @pytest.mark.parametrize(
        ("name", "function", "takes"),
        [
            ("on_connect", lambda: None, "takes 0 arguments, but is called with 3"),
            ("on_connect", lambda r, s, c, message: None, "takes 4 arguments"),
            ("on_message", lambda r, s, c: None, "4: request, socket, context, message"),
            ("on_message", lambda self, r, s, c, m: None, "takes 5 arguments"),
            ("on_subscribe", lambda r, s, c: None, "4: request, socket, context, channel"),
            ("on_error", lambda r, s, c: None, "4: request, socket, context, exception"),
            ("on_finish", lambda r, s, c, reason: None, "3: request, socket, context"),
            ("on_connect", lambda r, s, c, *, user: None, "needs 'user' by keyword"),
        ],
    )
    def test_what_does_not_is_refused_with_its_file_and_line(
        self, registry: Registry, name: str, function: Any, takes: str
    ) -> None:
        line = function.__code__.co_firstlineno
        with pytest.raises(EventError) as raised:
            event(registry, name)(function)

        text = str(raised.value)
        assert text.startswith(f"The {name} handler `")
        assert f"({__file__}:{line})" in text
        assert takes in text

    def test_a_custom_event_s_takes_three_and_what_the_client_sends(
        self, registry: Registry
    ) -> None:
        for function in (
            lambda r, s, c: None,
            lambda r, s, c, one, two: None,
            lambda r, s, c, one=1, *rest: None,
        ):
            registry.on("news")(function)
        with pytest.raises(EventError, match=r"takes 2 arguments, but is called with 3 and more"):
            registry.on("news")(lambda request, socket: None)

    def test_of_a_decorated_function_the_decorator_s_own_counts(self, registry: Registry) -> None:
        """It may add arguments."""

        def with_user(function: Callable[..., None]) -> Callable[..., None]:
            @wraps(function)
            def wrapper(request: object, *args: object) -> None:
                function(request, *args, "user")

            return wrapper

        @registry.on_connect
        @with_user
        def connect(request: object, socket: object, context: object, user: object) -> None: ...

        assert selected(registry.on_connect) == [connect]

    def test_async_functions_are_refused(self, registry: Registry) -> None:
        async def coroutine(*args: object) -> None: ...

        async def generator(*args: object) -> AsyncIterator[None]:
            yield

        class Callable_:
            async def __call__(self, *args: object) -> None: ...

        message = r"is async def; its code would never run: make it a plain function.*async_to_sync"
        for function in (coroutine, generator, partial(coroutine), Callable_()):
            with pytest.raises(EventError, match=message):
                registry.on_message(function)

    def test_generators_are_refused(self, registry: Registry) -> None:
        def generator(*args: object) -> Iterator[None]:
            yield

        with pytest.raises(
            EventError, match=r"generator` \(.*is a generator; its code would never"
        ):
            registry.on_message(generator)

    def test_a_class_may_be_a_handler(self, registry: Registry) -> None:
        class Handler:
            def __init__(self, request: object, socket: object, context: object) -> None: ...

        assert registry.on_connect(Handler) is Handler


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


class TestTheEndOfAConnection:
    """By the channels held; but a client must not be able to keep the last handlers from running
    by holding any.
    """

    @pytest.mark.parametrize("name", AT_THE_END)
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
        runs = runs or pattern is None

        assert selected(event(registry, name), channels) == ([handler] if runs else [])


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

    def test_are_tried_anew_on_names_that_are_too_long_to_be_kept(self, registry: Registry) -> None:
        pattern: Any = CountingPattern()
        registry.on_message.registrations.append(Registration(handler, pattern, "/", ()))
        for _ in range(3):
            registry.on_message.select("/", ["x" * (MAX_CACHED_NAME + 1)])

        assert pattern.tries == 3


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
            (re.compile(r"/room-\d+"), "/my/room-1", False),
            (re.compile(r"/room-\d+"), "/room-7", True),
            (re.compile(r"/room-\d+"), "/room-7/admin", False),
            (re.compile(r"/room-\d+$"), "/room-7\n", False),
        ],
    )
    @pytest.mark.parametrize("name", EVERY_EVENT)
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
        registry.on("news", namespace=re.compile(r"/news-.*"))(handler)

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

    def test_the_decorator_needs_the_event_s_name(self, registry: Registry) -> None:
        on: Any = registry.on
        line = handler.__code__.co_firstlineno
        with pytest.raises(EventError) as raised:
            on(handler)  # @events.on alone

        assert '@events.on("news")' in str(raised.value)
        assert f"`handler` ({__file__}:{line})" in str(raised.value)

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


class TestNamedGroupsOfAuthorize:
    """An ``authorize`` handler gets the named groups of its pattern by keyword."""

    def test_a_handler_takes_each_as_an_argument_or_by_two_stars(self, registry: Registry) -> None:
        decorator = registry.authorize(channel=r"^(?P<kind>\w+)-(?P<pk>\d+)$")

        @decorator
        def named(
            request: Any, socket: Any, context: Any, channel: str, pk: str, *, kind: str
        ) -> None: ...

        @decorator
        def all_of_them(
            request: Any, socket: Any, context: Any, channel: str, **groups: str
        ) -> None: ...

        assert len(registry.authorize.registrations) == 2

    def test_a_group_that_the_handler_does_not_take_is_an_error(self, registry: Registry) -> None:
        with pytest.raises(EventError, match="the group 'pk', which it does not take by keyword"):

            @registry.authorize(channel=r"^room-(?P<pk>\d+)$")
            def may(request: Any, socket: Any, context: Any, channel: str) -> None: ...

    def test_a_group_with_the_name_of_another_argument_is_an_error(
        self, registry: Registry
    ) -> None:
        with pytest.raises(
            EventError, match="the group 'channel', which is another argument's name"
        ):

            @registry.authorize(channel=r"^(?P<channel>.*)$")
            def may(request: Any, socket: Any, context: Any, channel: str) -> None: ...

    def test_an_argument_that_is_no_group_is_an_error(self, registry: Registry) -> None:
        with pytest.raises(EventError, match="takes 5 arguments, but is called with 4"):

            @registry.authorize(channel=r"^room-(\d+)$")
            def may(request: Any, socket: Any, context: Any, channel: str, pk: str) -> None: ...

    def test_other_events_handlers_get_no_groups(self, registry: Registry) -> None:
        @registry.on_message(channel=r"^room-(?P<pk>\d+)$")
        def talk(request: Any, socket: Any, context: Any, message: Any) -> None: ...

        assert len(registry.on_message.registrations) == 1
