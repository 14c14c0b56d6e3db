"""Channel patterns as text: how names that match begin, and the list of patterns of handlers."""

import re

import pytest

from socketio_server.registry.events import Registry
from socketio_server.registry.patterns import list_patterns, literal_beginning


class TestTheLiteralBeginning:
    @pytest.mark.parametrize(
        ("pattern", "beginning"),
        [
            ("^room-", "room-"),
            ("room-", "room-"),
            (r"\Aroom", "room"),
            (r"^room-(?P<pk>\d+)$", "room-"),
            ("^rooms?-", "room"),
            ("^rooms*", "room"),
            ("^rooms{2}", "room"),
            ("^rooms+", "rooms"),
            ("^lobby$", "lobby"),
            ("^room-(a|b)$", "room-"),
            ("^room-[|]", "room-"),
            (r"^room-\|x", "room-"),
            ("^a/b:c@d e_f", "a/b:c@d e_f"),
        ],
    )
    def test_is_what_stands_before_the_first_special_character(
        self, pattern: str, beginning: str
    ) -> None:
        assert literal_beginning(re.compile(pattern)) == beginning

    @pytest.mark.parametrize("pattern", ["", ".*", "^[ab]", "^a|b", "(a)|b", "^(a|b)", r"\d"])
    def test_is_empty_where_nothing_can_be_said(self, pattern: str) -> None:
        assert literal_beginning(re.compile(pattern)) == ""

    @pytest.mark.parametrize("flags", [re.IGNORECASE, re.VERBOSE])
    def test_is_empty_where_a_flag_changes_what_is_matched(self, flags: int) -> None:
        assert literal_beginning(re.compile("^room", flags)) == ""


class TestTheList:
    def test_has_each_pattern_once_in_order_and_nothing_for_handlers_without(self) -> None:
        on_message = Registry().on_message
        for channel in ("^b", None, "^a", "^b"):
            on_message(lambda request, socket, context, message: None, channel=channel)

        assert list_patterns(on_message.registrations) == "'^a', '^b'"
