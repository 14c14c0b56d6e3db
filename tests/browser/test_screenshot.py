"""The picture in the README: the demo in two windows.

``WRITE_SCREENSHOT=1`` writes it to ``docs/images/demo.png``; fonts as ``.ci/run`` installs them.
"""

import datetime
import os
from base64 import b64encode
from typing import Any

from playwright.sync_api import expect

from tests.browser.window import DemoWindow, OpenDemo, OpenWindow
from tests.support.server import ROOT, Server

PICTURE = ROOT / "docs" / "images" / "demo.png"
SIZE = {"width": 1280, "height": 800}
MAX_BYTES = 300_000

LOOKS: dict[str, dict[str, Any]] = {
    "Alice": {"viewport": {"width": 740, "height": 600}, "color_scheme": "light"},
    "Bruno": {
        "viewport": {"width": 340, "height": 664},
        "color_scheme": "dark",
        "is_mobile": True,
        "has_touch": True,
    },
}
"""Whose window looks how: a laptop's, a phone's."""

TIME = datetime.datetime(2026, 11, 22, 14, 7)

TALK = [
    ("Alice", "Hello from my laptop 👋"),
    ("Bruno", "And from my phone."),
    ("Bruno", "That was quick!"),
    ("Alice", "Fifteen lines in events.py, one tag in the page."),
    ("Bruno", "And when the train is in a tunnel?"),
    ("Alice", "Then it comes back by itself."),
]

FRAME = """
<!doctype html>
<style>
  body {{
    margin: 0;
    height: 800px;
    background: linear-gradient(#dcefe6, #9cc4ba);
    font: 13px Inter, sans-serif;
    overflow: hidden;
  }}
  figure {{ position: absolute; margin: 0; overflow: hidden; box-shadow: 0 24px 60px #0a2a2066; }}
  img {{ display: block; }}
  .desktop {{ left: 60px; top: 80px; border-radius: 12px; background: #fff; }}
  .bar {{ display: flex; gap: 8px; align-items: center; height: 38px; padding: 0 14px;
    background: #f2f5f4; border-bottom: 1px solid #dbe3df; color: #5b6b64; }}
  .bar i {{ width: 12px; height: 12px; border-radius: 50%; background: #cfd9d4; }}
  .bar span {{ flex: 1; margin: 0 60px 0 8px; padding: 4px; border-radius: 8px; background: #fff;
    text-align: center; }}
  .phone {{ right: 68px; top: 44px; border: 10px solid #0b0f0e; border-radius: 40px;
    background: #141d19; padding: 14px 0; }}
</style>
<figure class="desktop">
  <div class="bar"><i></i><i></i><i></i><span>localhost:9000</span></div>
  <img src="data:image/png;base64,{Alice}">
</figure>
<figure class="phone"><img src="data:image/png;base64,{Bruno}"></figure>
"""


def picture_of(window: DemoWindow) -> str:
    """Return a window's picture, in base64, once nothing moves in it any more."""
    window.text_field.blur()
    return b64encode(window.page.screenshot(animations="disabled", caret="hide")).decode()


class TestThePictureInTheReadme:
    def test_shows_two_windows_that_talk(
        self, open_demo: OpenDemo, open_window: OpenWindow, demo: Server
    ) -> None:
        windows = {name: open_demo("about:blank", wait=False, **LOOKS[name]) for name in LOOKS}
        for name, window in windows.items():
            window.page.clock.set_fixed_time(TIME)
            window.page.goto(demo.url)
            expect(window.state).to_have_text("Online")
            window.name_field.fill(name)
        for number, (name, text) in enumerate(TALK, start=1):
            windows[name].say(text)
            for window in windows.values():
                expect(window.said).to_have_count(number)
        for window in windows.values():
            expect(window.said).to_have_text([text for _, text in TALK])
            expect(window.said.last).to_be_in_viewport()

        pictures = {name: picture_of(window) for name, window in windows.items()}
        frame = open_window(viewport=SIZE)
        frame.page.set_content(FRAME.format_map(pictures))
        picture = frame.page.screenshot()

        assert len(picture) < MAX_BYTES
        if os.environ.get("WRITE_SCREENSHOT"):
            PICTURE.parent.mkdir(parents=True, exist_ok=True)
            PICTURE.write_bytes(picture)

    def test_is_there_and_small(self) -> None:
        picture = PICTURE.read_bytes()
        assert picture.startswith(b"\x89PNG\r\n")
        assert len(picture) < MAX_BYTES
