"""The demo on small screens, in the dark, and by keyboard."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.window import DemoWindow, OpenDemo

PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 640},
    "is_mobile": True,
    "has_touch": True,
}


def brightness(window: DemoWindow, element: str, property: str) -> float:
    """Return how bright one of an element's colours is, from 0 to 255."""
    colour = window.evaluate(f"getComputedStyle(document.querySelector('{element}')).{property}")
    red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
    return (red + green + blue) / 3


class TestAPhone:
    @pytest.mark.parametrize("locale", ["en-GB", "fr-FR"])
    def test_needs_no_scrolling_sideways(self, open_demo: OpenDemo, locale: str) -> None:
        window = open_demo(**PHONE, locale=locale)
        assert window.scrolling_sideways == []
        window.context.set_offline(True)
        expect(window.alert).to_be_visible()
        assert window.scrolling_sideways == []

    @pytest.mark.parametrize("width", [360, 390])
    def test_shows_what_it_is_and_fields_that_look_like_fields(
        self, open_demo: OpenDemo, width: int
    ) -> None:
        window = open_demo(**PHONE | {"viewport": {"width": width, "height": 640}})
        subtitle = window.page.get_by_text("django-socketio-server")
        expect(subtitle).to_be_in_viewport(ratio=1)
        assert subtitle.evaluate("element => element.scrollWidth <= element.clientWidth")
        edge = "element => getComputedStyle(element).border"
        assert window.name_field.evaluate(edge) == window.text_field.evaluate(edge)
        assert "solid" in window.name_field.evaluate(edge)
        expect(window.page.get_by_text("Your name")).to_be_in_viewport()
        expect(window.page.get_by_placeholder("Your message")).to_be_in_viewport()

    def test_has_the_form_in_view_however_much_was_said(self, open_demo: OpenDemo) -> None:
        window = open_demo(**PHONE)
        for number in range(12):
            window.say(f"line {number}\n" + "words " * 20)
        expect(window.said).to_have_count(12)
        expect(window.said.last).to_be_in_viewport()
        expect(window.said.first).not_to_be_in_viewport()
        expect(window.text_field).to_be_in_viewport()
        expect(window.send_button).to_be_in_viewport()
        assert window.scrolling_sideways == []

    def test_sends_with_a_tap(self, open_demo: OpenDemo) -> None:
        window = open_demo(**PHONE)
        window.text_field.tap()
        window.page.keyboard.type("typed with a thumb")
        window.send_button.tap()
        expect(window.said).to_have_text(["typed with a thumb"])


class TestDarkMode:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_is_what_the_system_asks_for(self, open_demo: OpenDemo, scheme: str) -> None:
        window = open_demo(color_scheme=scheme)
        window.say("readable")
        expect(window.said).to_have_text(["readable"])
        for element in ("body", ".mine .said", "#text"):
            back = brightness(window, element, "backgroundColor")
            ink = brightness(window, element, "color")
            assert abs(back - ink) > 80, element
        assert (brightness(window, "body", "backgroundColor") < 64) == (scheme == "dark")


class TestTheKeyboard:
    def test_is_enough_to_talk(self, open_demo: OpenDemo) -> None:
        window = open_demo()
        keyboard = window.page.keyboard
        expect(window.text_field).to_be_focused()
        keyboard.press("Shift+Tab")
        keyboard.type("Ann")
        keyboard.press("Tab")
        keyboard.type("no mouse")
        keyboard.press("Enter")
        expect(window.said).to_have_text(["no mouse"])
        expect(window.text_field).to_be_focused()
        keyboard.type("none at all")
        keyboard.press("Enter")
        expect(window.said).to_have_text(["no mouse", "none at all"])

    def test_reaches_all_in_the_order_of_the_page_each_with_a_visible_focus(
        self, open_demo: OpenDemo
    ) -> None:
        window = open_demo()
        order = []
        window.page.keyboard.press("Tab")
        for _ in range(6):
            focused = window.page.locator(":focus")
            order.append(focused.get_attribute("id") or focused.get_attribute("value"))
            expect(focused).not_to_have_css("outline-style", "none")
            window.page.keyboard.press("Shift+Tab")
        assert order == ["send", "text", "name", "messages", "fr", "en"]

    def test_is_enough_to_switch_the_language(self, open_demo: OpenDemo) -> None:
        window = open_demo()
        switch = window.page.get_by_role("button", name="FR (Français)")
        for _ in range(10):
            window.page.keyboard.press("Shift+Tab")
            if switch.evaluate("element => element === document.activeElement"):
                break
        expect(switch).to_be_focused()
        assert switch.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
        window.page.keyboard.press("Enter")
        expect(window.state).to_have_text("En ligne")


class TestWhatIsTyped:
    def test_is_not_sent_while_there_is_nothing_but_blanks(self, open_demo: OpenDemo) -> None:
        window = open_demo()
        window.say("   ")
        window.say("something")
        expect(window.said).to_have_text(["something"])

    def test_goes_with_the_name_also_after_a_reload(self, open_demo: OpenDemo) -> None:
        window, other = open_demo(), open_demo()
        window.name_field.fill("Zoé")
        window.text_field.focus()
        window.page.reload()
        expect(window.name_field).to_have_value("Zoé")
        expect(window.state).to_have_text("Online")
        window.say("still me")
        expect(other.speakers).to_have_text(["Zoé"])
