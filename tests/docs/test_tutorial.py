"""The tutorial, done step by step in an empty folder, up to two browser windows.

Not done are its first step (the virtual environment is the tests' own, which has the package) and
what needs port 9000: the server listens on a free one.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.docs.browser import open_context
from tests.docs.pages import page
from tests.docs.project import Project
from tests.support.server import Server

TUTORIAL = page("docs/tutorial.md")


def shown(kind: str) -> list[str]:
    """Return the lines of the block that shows what a reader sees."""
    (block,) = (block for block in TUTORIAL.of("text") if block.path == kind)
    return block.text.splitlines()


@pytest.fixture(scope="module")
def server(tutorial: Project) -> Iterator[Server]:
    server = tutorial.serve()
    yield server
    server.kill()


def open_page(browser: Browser, server: Server) -> Page:
    """Open the chat in a window of its own, and wait until it is in the room."""
    window = open_context(browser).new_page()
    window.goto(server.url)
    for line in shown("page"):
        expect(window.locator("#messages")).to_contain_text(line)
    return window


class TestTheSteps:
    def test_the_commands_are_those_that_the_tests_run(self) -> None:
        commands = "".join(block.text for block in TUTORIAL.of("sh")).splitlines()
        assert commands[5:] == [
            "django-admin startproject mysite .",
            "python manage.py migrate",
            "python manage.py check",
            "python manage.py runserver_socketio localhost:9000",
        ]

    def test_check_finds_nothing_to_complain_about(self, tutorial: Project) -> None:
        assert "System check identified no issues" in tutorial.manage("check")

    def test_the_server_says_what_the_page_says_it_says(self, server: Server) -> None:
        for line in shown("banner"):
            expected = line.replace("localhost:9000", "127.0.0.1:@")
            server.wait_for_output(re.escape(expected).replace("@", r"\d+"))

    def test_what_one_window_types_appears_in_both(self, browser: Browser, server: Server) -> None:
        one, other = open_page(browser, server), open_page(browser, server)
        one.fill("#text", "Hello!")
        one.press("#text", "Enter")
        for window in (one, other):
            expect(window.locator("#messages li").last).to_have_text("Hello!")
        assert one.input_value("#text") == ""
        for line in shown("log"):
            server.wait_for_output(re.escape(line).replace(re.escape("..."), ".+"))

    def test_the_page_asks_for_nothing_that_is_not_there(
        self, browser: Browser, server: Server
    ) -> None:
        window = open_context(browser).new_page()
        complaints: list[str] = []
        window.on("console", lambda message: complaints.append(message.text))
        window.goto(server.url)
        for line in shown("page"):
            expect(window.locator("#messages")).to_contain_text(line)
        assert complaints == []
        # A browser with a window would ask for one; this one has none.
        expect(window.locator("link[rel=icon]")).to_have_attribute("href", "data:,")

    def test_what_looks_like_html_is_shown_as_text(self, browser: Browser, server: Server) -> None:
        window = open_page(browser, server)
        window.fill("#text", "<b>bold</b>")
        window.press("#text", "Enter")
        expect(window.locator("#messages li").last).to_have_text("<b>bold</b>")

    def test_the_pages_come_back_when_the_server_does(
        self, browser: Browser, tutorial: Project
    ) -> None:
        first = tutorial.serve()
        window = open_page(browser, first)
        assert first.stop() == 0
        second = tutorial.serve(first.address[1])
        try:
            window.wait_for_function("document.querySelectorAll('li').length === 4")
            window.fill("#text", "Still here")
            window.press("#text", "Enter")
            expect(window.locator("#messages li").last).to_have_text("Still here")
        finally:
            second.kill()
