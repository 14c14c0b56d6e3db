"""The demo: where a reader is, there he stays."""

import pytest
from playwright.sync_api import expect

from tests.browser.window import DemoWindow, OpenDemo

LINES = 30
"""More than a window shows."""


@pytest.fixture
def speaker(open_demo: OpenDemo) -> DemoWindow:
    """Give a window in which somebody speaks."""
    return open_demo()


@pytest.fixture
def reader(open_demo: OpenDemo, speaker: DemoWindow) -> DemoWindow:
    """Give a window with more than it shows, at the end of it."""
    window = open_demo()
    for number in range(LINES):
        speaker.say(f"line {number}")
    expect(window.said).to_have_count(LINES)
    expect(window.said.last).to_be_in_viewport()
    return window


def place(window: DemoWindow) -> float:
    """Return where in the window the line stands that a reader has before him."""
    line = window.said.nth(LINES - 15)
    top: float = line.evaluate("element => element.getBoundingClientRect().top")
    return top


class TestAReaderAtTheEnd:
    def test_sees_each_new_message(self, reader: DemoWindow, speaker: DemoWindow) -> None:
        speaker.say("the news")
        expect(reader.said.last).to_have_text("the news")
        expect(reader.said.last).to_be_in_viewport()
        expect(reader.news).to_be_hidden()

    def test_stays_there_when_the_window_gets_smaller(self, reader: DemoWindow) -> None:
        reader.page.set_viewport_size({"width": 400, "height": 400})
        expect(reader.said.last).to_be_in_viewport(ratio=1)
        reader.context.set_offline(True)
        expect(reader.alert).to_be_visible()
        expect(reader.said.last).to_be_in_viewport(ratio=1)


class TestAReaderOfOlderMessages:
    def test_is_not_moved_by_new_ones_but_told_of_them(
        self, reader: DemoWindow, speaker: DemoWindow
    ) -> None:
        reader.scroll_up()
        expect(reader.news).to_be_hidden()
        before = place(reader)
        speaker.say("the news")
        expect(reader.news).to_be_visible()
        assert place(reader) == before
        expect(reader.said.last).not_to_be_in_viewport()

    def test_keeps_them_until_he_is_at_the_end(
        self, reader: DemoWindow, speaker: DemoWindow
    ) -> None:
        reader.scroll_up()
        before = place(reader)
        speaker.run("""
            for (let number = 0; number < 180; number += 1) {
              document.getElementById("text").value = `more ${number}`;
              document.getElementById("compose").requestSubmit();
            }
        """)
        expect(reader.said.last).to_have_text("more 179")
        assert place(reader) == before
        reader.news.click()
        speaker.say("the news")
        expect(reader.said.last).to_have_text("the news")
        expect(reader.said.last).to_be_in_viewport()
        expect(reader.page.locator("#messages li")).to_have_count(200)

    @pytest.mark.parametrize("way", ["mouse", "keyboard"])
    def test_gets_to_the_new_ones_by_the_button(
        self, reader: DemoWindow, speaker: DemoWindow, way: str
    ) -> None:
        reader.scroll_up()
        speaker.say("the news")
        expect(reader.news).to_be_visible()
        if way == "mouse":
            reader.news.click()
        else:
            reader.log.focus()
            reader.page.keyboard.press("Tab")
            expect(reader.news).to_be_focused()
            reader.page.keyboard.press("Enter")
        expect(reader.said.last).to_be_in_viewport()
        expect(reader.news).to_be_hidden()
        expect(reader.log).to_be_focused()

    def test_is_told_no_more_once_he_is_there(
        self, reader: DemoWindow, speaker: DemoWindow
    ) -> None:
        reader.scroll_up()
        speaker.say("the news")
        expect(reader.news).to_be_visible()
        reader.log.focus()
        reader.page.keyboard.press("End")
        expect(reader.said.last).to_be_in_viewport()
        expect(reader.news).to_be_hidden()
        speaker.say("more news")
        expect(reader.said.last).to_have_text("more news")
        expect(reader.said.last).to_be_in_viewport()

    def test_is_taken_to_his_own_message(self, reader: DemoWindow) -> None:
        reader.scroll_up()
        reader.say("mine")
        expect(reader.said.last).to_have_text("mine")
        expect(reader.said.last).to_be_in_viewport()
