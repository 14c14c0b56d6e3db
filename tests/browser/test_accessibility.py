"""The demo for those who don't see it, or see it badly: axe-core's rules and more."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.window import DemoWindow, OpenDemo
from tests.support.server import ROOT
from tests.support.tools import require

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"

LAPTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


def violations(window: DemoWindow) -> list[Any]:
    """Return which of axe-core's rules the page breaks, and where."""
    require("axe-core", found=AXE.exists())
    window.page.evaluate(AXE.read_text())
    found: list[Any] = window.evaluate("""
        axe.run().then(({ violations }) => violations.map(
          ({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => [html, failureSummary])]
        ))
    """)
    return found


class TestThePage:
    @pytest.mark.parametrize("viewport", [LAPTOP, PHONE], ids=["laptop", "phone"])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_breaks_no_rule_whatever_it_shows(
        self, open_demo: OpenDemo, viewport: Any, scheme: Any
    ) -> None:
        window = open_demo(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
        other = open_demo()
        assert violations(window) == []

        for number in range(20):
            other.name_field.fill(f"Somebody {number}")
            other.say(f"line {number}")
        window.say("mine")
        window.say("and mine")
        expect(window.said).to_have_count(22)
        window.scroll_up()
        other.say("the news")
        expect(window.news).to_be_visible()
        assert violations(window) == []

        window.context.set_offline(True)
        expect(window.alert).to_be_visible()
        assert violations(window) == []

    def test_says_new_messages_and_the_state_aloud(self, open_demo: OpenDemo) -> None:
        window = open_demo()
        expect(window.log).to_have_attribute("aria-live", "polite")
        expect(window.log).to_have_accessible_name("Messages")
        expect(window.state).to_have_text("Online")

    def test_moves_nothing_for_those_who_asked_for_that(self, open_demo: OpenDemo) -> None:
        window = open_demo(reduced_motion="reduce")
        window.say("still")
        expect(window.said).to_have_text(["still"])
        moving = "document.getAnimations().length"
        assert window.evaluate(moving) == 0
