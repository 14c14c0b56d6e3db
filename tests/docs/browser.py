"""A browser for the tests of the pages: started by each test that needs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from shutil import which

from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.support.tools import PATIENCE, require


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """Run Debian's Chromium.

    :param options: further options of its command line.
    """
    require("chromium")
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=which("chromium"),
            args=["--no-sandbox", "--disable-background-networking", "--disable-quic", *options],
        )
        yield browser
        browser.close()


def open_context(browser: Browser, *, ignores_certificates: bool = False) -> BrowserContext:
    """Open a browser window's context, with cookies of its own."""
    context = browser.new_context(ignore_https_errors=ignores_certificates)
    context.set_default_timeout(PATIENCE * 1000)
    return context
