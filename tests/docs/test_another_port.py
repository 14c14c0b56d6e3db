"""Pages served by Django's own ``runserver``, with ``runserver_socketio`` on another port."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import expect

from tests.docs.browser import chromium, open_context
from tests.docs.project import Project
from tests.support.tools import free_port, wait_until

HANDLERS = """
from socketio_server import events

@events.on("cookie")
def cookie(request, socket, context):
    return request.COOKIES.get("colour", "none")

@events.on_message(channel="^room-")
def talk(request, socket, context, message):
    socket.send_and_broadcast_channel(message)
"""

SETTINGS = """
SOCKETIO_PORT = {port}
SOCKETIO_ALLOWED_ORIGINS = ["http://127.0.0.1:{pages}"]
"""

ASK = """
(withCredentials) => {
  const socket = io({ withCredentials, transports: ["polling"], forceNew: true });
  return socket.timeout(20000).emitWithAck("cookie");
}
"""


@contextmanager
def plain_runserver(project: Project, port: int) -> Iterator[str]:
    """Serve the project's pages with Django's own server."""
    url = f"http://127.0.0.1:{port}/"
    process = subprocess.Popen(
        [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
        cwd=project.folder,
        env=project.variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def is_up() -> bool:
        try:
            urlopen(url, timeout=20).close()
        except URLError:
            return False
        return True

    try:
        wait_until(is_up, "runserver")
        yield url
    finally:
        process.kill()
        process.wait(20)


@pytest.fixture
def project(tutorial: Project, tmp_path: Path) -> Project:
    """The tutorial's project, with handlers that tell what they see."""
    project = tutorial.copy(tmp_path / "project")
    (project.folder / "events.py").write_text(HANDLERS)
    return project


def test_the_tutorials_page_works_there(project: Project) -> None:
    pages, port = free_port(), free_port()
    with (project.folder / "mysite" / "settings.py").open("a") as settings:
        settings.write(SETTINGS.format(port=port, pages=pages))
    server = project.serve(port)
    try:
        with plain_runserver(project, pages) as url, chromium() as browser:
            window = open_context(browser).new_page()
            window.goto(url)
            window.wait_for_function("() => socket.connected")
            window.fill("#text", "Hello!")
            window.press("#text", "Enter")
            expect(window.locator("#messages")).to_have_text("Hello!")
            window.evaluate("() => { document.cookie = 'colour=blue'; }")
            assert window.evaluate(ASK, True) == "blue"
            assert window.evaluate(ASK, False) == "none"
    finally:
        server.kill()
