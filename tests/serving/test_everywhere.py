"""The functions for sockets and servers of all processes, in a process without a server."""

from collections.abc import Callable
from typing import Any

import pytest

import socketio_server
from socketio_server.events import EVERYONE, OTHERS
from socketio_server.exceptions import BrokerUnavailable
from socketio_server.serving import everywhere

CHANGES: list[Callable[..., None]] = [
    lambda **options: socketio_server.subscribe("room", **{"to": EVERYONE, **options}),
    lambda **options: socketio_server.unsubscribe("room", **{"to": EVERYONE, **options}),
    lambda **options: socketio_server.disconnect(**{"to": EVERYONE, **options}),
]
EVENTS: list[Callable[..., None]] = [
    lambda **options: socketio_server.emit_cluster("news", **options)
]
NUMBERS: list[Callable[..., Any]] = [socketio_server.count_sockets, socketio_server.cluster_stats]
LISTS: list[Callable[..., Any]] = [
    socketio_server.find_sockets,
    socketio_server.channel_names,
    lambda **options: socketio_server.call_cluster("news", **options),
]


class TestWithoutClients:
    @pytest.mark.parametrize("change", [*CHANGES, *EVENTS])
    def test_nothing_is_changed(self, change: Callable[..., None]) -> None:
        change()

    @pytest.mark.parametrize("look_up", LISTS)
    def test_nothing_is_found_and_nobody_is_missing(self, look_up: Callable[..., Any]) -> None:
        found = look_up()
        assert found == ()
        assert found.missing == 0

    def test_nobody_is_counted_and_no_server_has_numbers(self) -> None:
        assert socketio_server.count_sockets() == 0
        assert socketio_server.cluster_stats() == ()

    def test_nobody_answers(self) -> None:
        assert socketio_server.call("question") == ({}, ())


class TestArguments:
    @pytest.mark.parametrize("function", [*CHANGES, *EVENTS, *LISTS, NUMBERS[0]])
    def test_a_namespace_begins_with_a_slash(self, function: Callable[..., Any]) -> None:
        with pytest.raises(ValueError, match="namespace must begin with a slash"):
            function(namespace="room")

    @pytest.mark.parametrize("change", [*CHANGES, *EVENTS])
    def test_on_error_is_known(self, change: Callable[..., None]) -> None:
        with pytest.raises(ValueError, match="on_error must be"):
            change(on_error="ignore")

    @pytest.mark.parametrize("function", [*CHANGES, LISTS[0], NUMBERS[0]])
    def test_targets_are_checked(self, function: Callable[..., Any]) -> None:
        with pytest.raises(ValueError, match="to=OTHERS is for"):
            function(to=OTHERS)
        with pytest.raises(TypeError, match="to must be a channel"):
            function(to=5)
        with pytest.raises(ValueError, match="is reserved"):
            function(to="~user:auth.user:1")

    @pytest.mark.parametrize("limit", [-1, "1", 1.5, True])
    def test_a_limit_is_a_number_of_sockets(self, limit: Any) -> None:
        with pytest.raises((TypeError, ValueError), match="limit must"):
            socketio_server.find_sockets(limit=limit)

    @pytest.mark.parametrize("look_up", [*LISTS, *NUMBERS])
    @pytest.mark.parametrize("timeout", [None, "1", -1])
    def test_a_timeout_is_a_number_of_seconds(
        self, look_up: Callable[..., Any], timeout: Any
    ) -> None:
        with pytest.raises((TypeError, ValueError), match="timeout must be"):
            look_up(timeout=timeout)

    @pytest.mark.parametrize("change", [socketio_server.subscribe, socketio_server.unsubscribe])
    @pytest.mark.parametrize("channel", ["", "~room", 5])
    def test_a_channel_has_a_name(self, change: Callable[..., None], channel: Any) -> None:
        with pytest.raises((TypeError, ValueError), match="channel must"):
            change(channel, to=EVERYONE)

    @pytest.mark.parametrize("send", [socketio_server.emit_cluster, socketio_server.call_cluster])
    def test_an_event_has_a_name(self, send: Callable[..., Any]) -> None:
        with pytest.raises(ValueError, match="is reserved"):
            send("connect")


class TestALostBroker:
    @pytest.fixture(autouse=True)
    def lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Redis can't be reached."""

        class Lost:
            def __getattr__(self, name: str) -> Any:
                def fail(*args: Any, **options: Any) -> None:
                    raise BrokerUnavailable("Redis (…) can't be reached: refused")

                return fail

        monkeypatch.setattr(everywhere, "_operations", Lost())

    @pytest.mark.parametrize("function", [*CHANGES, *EVENTS, *LISTS, *NUMBERS])
    def test_is_an_error(self, function: Callable[..., Any]) -> None:
        with pytest.raises(BrokerUnavailable):
            function()

    @pytest.mark.parametrize("change", [*CHANGES, *EVENTS])
    def test_is_logged_if_the_caller_wants_it(
        self, change: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        change(on_error="log")
        assert "() reached no other process: Redis (…) can't be reached" in caplog.text
