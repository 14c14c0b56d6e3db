"""Which handlers run: by channels and namespaces."""

import re
from typing import Any

import pytest

from socketio_server.registry.events import (
    MAX_CACHED_NAME,
    Registration,
    Registry,
)
from tests.dispatch.journal import EVERY_EVENT
from tests.registry.steps import event, handler, selected, selected_for

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

    @pytest.mark.parametrize("name", ["on_message", "on_error", "on_disconnect", "on_finish"])
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
        if name in ("on_disconnect", "on_finish"):
            # A client must not keep the last handlers from running by holding any channel.
            runs = runs or pattern is None

        assert selected(event(registry, name), channels) == ([handler] if runs else [])

    def test_each_runs_once_however_many_channels_match(self, registry: Registry) -> None:
        registry.on_message(channel="^room-")(handler)

        assert selected(registry.on_message, ["room-1", "room-2", "room-3"]) == [handler]


class TestTheEventsOwnChannel:
    """A subscription and its end: by the channel that it is about."""

    @pytest.mark.parametrize("name", ["on_subscribe", "on_unsubscribe"])
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
        for each in (registry.on_subscribe, registry.on_message, registry.on_unsubscribe):
            each.registrations.append(registration)
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
