"""One Chromium for all browser tests, a new context for each window, and the servers of the pages.

Playwright runs an event loop in the thread that uses it, and Django and asyncio refuse to do much
beside one; hence these tests come last, and the browser is gone after them.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from shutil import which
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.servers import DEMO, PAGES
from tests.browser.window import MILLISECONDS, DemoWindow, OpenDemo, OpenWindow, Window
from tests.support.server import Server
from tests.support.tools import PATIENCE, require
from tests.support.types import StartServer

HERE = Path(__file__).parent

CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # No talk with its maker's servers.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

W = TypeVar("W", bound=Window)


@pytest.hookimpl(trylast=True)  # after pytest-randomly
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the browser tests last, and leave the order else as it is."""
    items.sort(key=lambda item: item.path.is_relative_to(HERE))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Give Debian's Chromium."""
    require("chromium")
    expect.set_options(timeout=PATIENCE * MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=which("chromium"), args=CHROMIUM_OPTIONS
        )
        yield browser
        browser.close()


class Windows:
    """Opens windows of one test or more, and closes them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._windows: list[Window] = []

    def open(self, kind: type[W], url: str | None = None, **options: Any) -> W:
        """Open a window."""
        name = f"Window {next(_numbers)}"
        context = self._browser.new_context(user_agent=name, **options)
        context.set_default_timeout(PATIENCE * MILLISECONDS)
        window = kind(context, name)
        self._windows.append(window)
        if url is not None:
            window.page.goto(url)
        return window

    def close(self) -> None:
        """Close all windows; in none of them may a script have crashed."""
        for window in self._windows:
            window.close()
        assert [crash for window in self._windows for crash in window.crashes] == []


_numbers = count(1)


@pytest.fixture
def windows(browser: Browser) -> Iterator[Windows]:
    """Give the windows of one test."""
    windows = Windows(browser)
    yield windows
    windows.close()


@pytest.fixture
def open_window(windows: Windows) -> OpenWindow:
    """Open windows, which are closed when the test ends."""

    def open_window(url: str | None = None, **options: Any) -> Window:
        return windows.open(Window, url, **options)

    return open_window


@pytest.fixture
def open_demo(windows: Windows, request: pytest.FixtureRequest) -> OpenDemo:
    """Open windows with the demo, which are closed when the test ends."""

    def open_demo(url: str | None = None, *, wait: bool = True, **options: Any) -> DemoWindow:
        if url is None:
            demo: Server = request.getfixturevalue("demo")
            url = demo.url
        window = windows.open(DemoWindow, url, **options)
        if wait:
            expect(window.state).to_have_attribute("data-state", "online")
        return window

    return open_demo


@pytest.fixture(scope="session")
def demo(share_server: StartServer) -> Server:
    """The demo, as its README starts it."""
    return share_server(manage=DEMO)


@pytest.fixture(scope="session")
def pages(share_server: StartServer) -> Server:
    """The server of the pages that are not the demo."""
    return share_server(manage=PAGES)


@pytest.fixture
def bare(pages: Server) -> str:
    """Give the address of the page with nothing but the scripts."""
    return f"{pages.url}pages/bare/"


@pytest.fixture
def window(open_window: OpenWindow, bare: str) -> Window:
    """Give a window with the page with nothing but the scripts."""
    return open_window(bare)
