"""What is taken for a target, a channel, an id and a timeout; everything else is refused."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.utils.functional import SimpleLazyObject, lazystr
from django.utils.safestring import mark_safe

from socketio_server.sockets.targets import (
    EVERYONE,
    OTHERS,
    SocketSession,
    check_channel,
    check_event_name,
    check_namespace,
    check_timeout,
    select,
)

LAZY = SimpleLazyObject(object)
"""An object as ``request.user``, which seems to be iterable."""

NO_STRINGS = [5, b"room", UUID(int=1), None, True, 1.5, object(), lazystr("room")]
"""Values that are no channel, and no name of anything."""


class TestTarget:
    @pytest.mark.parametrize(
        ("to", "channels"),
        [
            ("room", ("room",)),
            (mark_safe("room"), ("room",)),
            (["a", "b"], ("a", "b")),
            (("a",), ("a",)),
            ({"a"}, ("a",)),
            (frozenset({"a"}), ("a",)),
            ({"a": 1}.keys(), ("a",)),
            ((name for name in "ab"), ("a", "b")),
            ([], ()),
            ((), ()),
            (EVERYONE, None),
        ],
    )
    def test_is_a_channel_several_or_everyone(
        self, to: Any, channels: tuple[str, ...] | None
    ) -> None:
        assert select(to).channels == channels

    def test_is_one_client_by_its_session_which_is_a_tuple_too(self) -> None:
        selection = select(SocketSession("an-id"))

        assert selection.socket_id == "an-id"
        assert selection.channels == ()

    def test_is_the_others_for_a_socket(self) -> None:
        selection = select(OTHERS, ["b"], sender="a")

        assert selection.channels is None
        assert selection.skip == {"a", "b"}

    def test_is_not_the_others_for_nobody(self) -> None:
        with pytest.raises(ValueError, match=r"to=OTHERS .* pass to=EVERYONE"):
            select(OTHERS)

    @pytest.mark.parametrize("to", [5, b"room", bytearray(b"room"), None, True, LAZY, object()])
    def test_nothing_else_is_one(self, to: Any) -> None:
        with pytest.raises(TypeError, match=r"^to must be a channel, a user, or several in a list"):
            select(to)

    @pytest.mark.parametrize("channel", NO_STRINGS)
    def test_several_are_strings(self, channel: Any) -> None:
        with pytest.raises(TypeError, match=r"^a channel in to must be a string, not "):
            select(["room", channel])

    @pytest.mark.parametrize("to", ["", [""], ["room", ""]])
    def test_none_is_empty(self, to: Any) -> None:
        with pytest.raises(ValueError, match="must not be empty"):
            select(to)

    def test_a_session_has_an_id(self) -> None:
        with pytest.raises(TypeError, match=r"^to takes session ids, not SocketSession.*5"):
            select(SocketSession(5))  # type: ignore[arg-type]


class TestSkip:
    @pytest.mark.parametrize(
        "skip",
        ["ab", SocketSession("ab"), ["ab"], ("ab",), {"ab"}, [SocketSession("ab")], iter(["ab"])],
    )
    def test_a_plain_string_is_one_id(self, skip: Any) -> None:
        assert select(EVERYONE, skip).skip == {"ab"}

    def test_several_may_be_of_either_kind(self) -> None:
        assert select(EVERYONE, ["a", SocketSession("b")]).skip == {"a", "b"}

    @pytest.mark.parametrize("skip", [5, None, b"ab", [5], [b"ab"], [None], [("ab",)]])
    def test_nothing_else_is_taken(self, skip: Any) -> None:
        with pytest.raises(TypeError, match=r"^skip "):
            select(EVERYONE, skip)

    def test_an_error_of_the_caller_s_generator_is_the_caller_s(self) -> None:
        def ids() -> Iterator[str]:
            yield "a"
            raise TypeError("of the caller")

        with pytest.raises(TypeError, match=r"^of the caller$"):
            select(EVERYONE, ids())


class TestSkipChannels:
    @pytest.mark.parametrize("channels", ["room", ["room"], {"room"}])
    def test_are_one_or_several(self, channels: Any) -> None:
        assert select(EVERYONE, (), channels).skip_channels == ("room",)

    @pytest.mark.parametrize("channels", [5, None, b"room", [5], EVERYONE])
    def test_nothing_else_is_taken(self, channels: Any) -> None:
        with pytest.raises(TypeError, match="skip_channels"):
            select(EVERYONE, (), channels)

    def test_none_is_empty(self) -> None:
        with pytest.raises(ValueError, match="skip_channels must not be empty"):
            select(EVERYONE, (), "")


class TestNames:
    @pytest.mark.parametrize("check", [check_channel, check_event_name, check_namespace])
    @pytest.mark.parametrize("value", NO_STRINGS)
    def test_are_strings(self, check: Callable[[Any], None], value: Any) -> None:
        with pytest.raises(TypeError, match="must be a string, not "):
            check(value)

    def test_an_error_shows_the_value_its_type_and_the_remedy(self) -> None:
        with pytest.raises(TypeError, match=r"^channel must be a string, not 5 \(int\): pass the "):
            check_channel(5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"not b'room' \(bytes\): decode it$"):
            check_channel(b"room")  # type: ignore[arg-type]

    def test_an_error_shows_no_more_than_a_piece_of_a_long_value(self) -> None:
        with pytest.raises(TypeError) as raised:
            check_channel(b"x" * 1_000_000)  # type: ignore[arg-type]

        assert len(str(raised.value)) < 200

    def test_a_channel_is_not_empty(self) -> None:
        with pytest.raises(ValueError, match=r"^channel must not be empty"):
            check_channel("")

    def test_an_event_is_none_of_the_protocol_s(self) -> None:
        with pytest.raises(ValueError, match="'disconnect' is reserved"):
            check_event_name("disconnect")

    def test_a_namespace_begins_with_a_slash(self) -> None:
        check_namespace("/admin")
        with pytest.raises(ValueError, match=r"pass '/admin'$"):
            check_namespace("admin")


class TestTimeout:
    @pytest.mark.parametrize("timeout", [None, 0, 0.5, 10])
    def test_is_a_number_of_seconds_or_none(self, timeout: float | None) -> None:
        check_timeout(timeout)

    @pytest.mark.parametrize("timeout", ["5", True, Decimal(5), b"5", [5]])
    def test_nothing_else_is_taken(self, timeout: Any) -> None:
        with pytest.raises(TypeError, match=r"^timeout must be a number of seconds or None, not "):
            check_timeout(timeout)

    @pytest.mark.parametrize("timeout", [-1, -0.1, float("nan"), float("inf")])
    def test_it_is_neither_negative_nor_endless(self, timeout: float) -> None:
        with pytest.raises(ValueError, match=r"^timeout must be 0 or more seconds, not "):
            check_timeout(timeout)


class TestReservedNames:
    def test_are_no_channels(self) -> None:
        for call in (check_channel, select, lambda name: select("a", (), name)):
            with pytest.raises(ValueError, match="must not begin with '~', which is reserved"):
                call("~user:auth.user:1")
