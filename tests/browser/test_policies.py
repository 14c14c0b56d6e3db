"""Pages as they are in production: with a Content-Security-Policy, with hashed static files."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Response, expect

from tests.browser.servers import PAGES
from tests.browser.window import OpenDemo, OpenWindow
from tests.conftest import configuration
from tests.support.server import Server
from tests.support.types import StartServer


class TestAStrictContentSecurityPolicy:
    def test_lets_the_scripts_run_with_the_nonce_and_nothing_else(
        self, open_window: OpenWindow, pages: Server
    ) -> None:
        window = open_window(f"{pages.url}pages/strict/")
        expect(window.page.locator("#own")).to_have_text("Connected")
        expect(window.page.locator("#foreign")).to_have_text("Nothing happened")
        window.wait_for_upgrade()
        (complaint,) = window.complaints
        assert "inline script" in complaint

    def test_is_kept_by_the_demo(self, open_demo: OpenDemo) -> None:
        window = open_demo()
        window.wait_for_upgrade()
        window.say("policy")
        expect(window.said).to_have_text(["policy"])
        assert window.complaints == []


class TestHashedStaticFiles:
    def test_are_what_the_demo_loads_where_the_project_wants_them(
        self, start_server: StartServer, open_demo: OpenDemo, tmp_path: Path
    ) -> None:
        storage = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
        settings: dict[str, Any] = {
            "DEBUG": False,
            "ALLOWED_HOSTS": ["127.0.0.1"],
            "STATIC_ROOT": str(tmp_path / "static"),
            "STORAGES": {"staticfiles": {"BACKEND": storage}},
            "SOCKETIO_EVENTS": ["events"],
        }
        project = configuration(tmp_path, manage=PAGES, settings=settings)
        subprocess.run(
            [sys.executable, str(PAGES), "collectstatic", "--no-input", "--verbosity=0"],
            env=project.variables,
            cwd=project.cwd,
            check=True,
        )
        server = start_server(manage=PAGES, settings=settings)

        window = open_demo("about:blank", wait=False)
        responses: list[Response] = []
        window.page.on("response", lambda response: responses.append(response))
        window.page.goto(server.url)
        window.say("in production")
        expect(window.said).to_have_text(["in production"])

        files = {r.url.removeprefix(server.url): r.status for r in responses if "static/" in r.url}
        assert set(files.values()) == {200}
        names = [re.sub(r"\.[0-9a-f]{12}\.", ".HASH.", name) for name in files]
        assert sorted(names) == [
            "static/mysite/chat.HASH.css",
            "static/mysite/chat.HASH.js",
            "static/mysite/icon.HASH.svg",
            "static/socketio_server/django-socketio.HASH.js",
            "static/socketio_server/socket.io.min.HASH.js",
        ]
