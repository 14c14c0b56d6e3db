"""The demo: whatever somebody sends is shown as text, and breaks nobody's page."""

from typing import Any

from playwright.sync_api import expect

from tests.browser.window import DemoWindow, OpenDemo
from tests.support.client import Client
from tests.support.server import Server
from tests.support.wire import open_carrier

MARKUP = "<img src=x onerror='window.ran = true'><b>bold</b><script>window.ran = true</script>&amp;"

JUNK: list[Any] = [
    None,
    5,
    "text",
    [],
    {},
    {"action": "system-info"},
    {"action": "system-info", "message": {"toString": 1}},
    {"action": "message", "name": None, "text": None},
    {"action": "message", "name": {"toString": 1, "valueOf": 1}, "text": "named by an object"},
    {"action": "message", "name": "Ann", "text": {"toString": 1, "valueOf": 1}},
]
"""What anybody in the room may send."""


def talk(server: Server, *messages: Any) -> None:
    """Send messages to the demo's room, as somebody who does not use its page."""
    client = Client(open_carrier("websocket", server.address)).connect()
    assert client.subscribe("room-1") is True
    for message in messages:
        assert client.ask("message", message) == []
    client.close()


def assert_nothing_became_html(window: DemoWindow) -> None:
    expect(window.page.locator("#messages :is(img, script, .said *, .system *)")).to_have_count(0)
    assert window.evaluate("window.ran === undefined")


class TestMarkup:
    def test_is_shown_as_text_wherever_it_is_typed(self, open_demo: OpenDemo) -> None:
        first, second = windows = [open_demo(), open_demo()]
        first.name_field.fill(MARKUP)  # as much of it as the field takes
        name = first.name_field.input_value()
        assert name.startswith("<img src=x")
        first.say(MARKUP)
        for window in windows:
            expect(window.said).to_have_text([MARKUP])
            assert_nothing_became_html(window)
        expect(second.speakers).to_have_text([name])
        assert second.complaints == []

    def test_is_shown_as_text_wherever_another_program_sends_it(
        self, open_demo: OpenDemo, demo: Server
    ) -> None:
        window = open_demo()
        talk(
            demo,
            {"action": "message", "name": MARKUP, "text": MARKUP, "from": MARKUP},
            {"action": "system-info", "message": MARKUP},
        )
        expect(window.system_info.last).to_have_text(MARKUP)
        expect(window.said).to_have_text([MARKUP])
        expect(window.speakers).to_have_text([MARKUP])
        assert_nothing_became_html(window)


class TestMessagesOfAnotherKind:
    def test_break_no_page(self, open_demo: OpenDemo, demo: Server) -> None:
        window = open_demo()
        talk(demo, *JUNK, {"action": "message", "name": "Ann", "text": "and then"})
        expect(window.said.last).to_have_text("and then")
        assert window.crashes == []


class TestLongMessages:
    def test_break_instead_of_widening_the_page(self, open_demo: OpenDemo, demo: Server) -> None:
        window = open_demo(viewport={"width": 360, "height": 640})
        talk(
            demo,
            {"action": "message", "name": "N" * 300, "text": "T" * 300},
            {"action": "system-info", "message": "M" * 300},
        )
        expect(window.system_info.last).to_have_text("M" * 300)
        assert window.scrolling_sideways == []
