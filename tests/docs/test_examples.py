"""The projects in ``examples/``: what their pages and clients show is what their READMEs say."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.docs.browser import open_context
from tests.docs.conftest import Connect
from tests.docs.pages import EXAMPLES, page
from tests.docs.project import Project
from tests.support.client import ConnectError
from tests.support.server import Server
from tests.support.tools import PATIENCE

Example = Callable[[str], Project]


@pytest.fixture
def example(tmp_path: Path, tutorial: Project) -> Example:
    """Return a copy of an example."""

    def copy(name: str) -> Project:
        ignored = shutil.ignore_patterns("__pycache__", "*.sqlite3")
        shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=ignored)
        return Project(tmp_path / name, tutorial.library)

    return copy


class TestEveryExample:
    @pytest.mark.parametrize("name", [path.parent.name for path in EXAMPLES.glob("*/manage.py")])
    def test_has_no_problems(self, example: Example, name: str) -> None:
        assert "System check identified no issues" in example(name).manage("check")


class TestNotifications:
    @pytest.fixture
    def server(self, example: Example) -> Iterator[Server]:
        """Serve the shop, with an administrator and a customer."""
        project = example("notifications")
        project.manage("migrate", "--run-syncdb", "--verbosity=0")
        project.manage(
            "shell",
            "-c",
            "from django.contrib.auth.models import User as U;"
            "U.objects.create_superuser('ann', password='a'); U.objects.create_user('bob')",
        )
        server = project.serve()
        yield server
        server.kill()

    def log_in(self, browser: Browser, server: Server) -> Page:
        """Open the page of ann's orders, and wait until it is connected."""
        window = open_context(browser).new_page()
        window.goto(server.url)
        window.fill("#id_username", "ann")
        window.fill("#id_password", "a")
        window.press("#id_password", "Enter")
        expect(window.locator("body")).to_have_attribute("data-state", "online")
        return window

    def order(self, admin: Page, server: Server, customer: str, what: str) -> None:
        """Save an order in the admin."""
        admin.goto(f"{server.url}admin/orders/order/add/")
        admin.select_option("#id_customer", label=customer)
        admin.fill("#id_what", what)
        admin.click("[name=_continue]")

    def test_each_save_appears_on_the_customers_page_and_on_no_other(
        self, browser: Browser, server: Server
    ) -> None:
        window = self.log_in(browser, server)
        admin = window.context.new_page()
        self.order(admin, server, "bob", "Bread")
        self.order(admin, server, "ann", "Apples")
        admin.fill("#id_status", "sent")
        admin.click("[name=_save]")
        expect(window.locator("li")).to_have_text(["Apples: received", "Apples: sent"])

    def test_strangers_may_not_connect(self, server: Server, connect: Connect) -> None:
        with pytest.raises(ConnectError, match="Please log in"):
            connect(server)


class TestRooms:
    MAKE = """
from django.contrib.auth.models import User as U
from rooms.models import Room
ann = U.objects.create_superuser("ann", password="a")
bob = U.objects.create_user("bob", password="b", is_staff=True)
Room.objects.create(name="tea").members.add(ann, bob)
Room.objects.create(name="attic").members.add(ann)
"""

    @pytest.fixture
    def server(self, example: Example) -> Iterator[Server]:
        """Serve two rooms, with an administrator and a member of one."""
        project = example("rooms")
        project.manage("migrate", "--run-syncdb", "--verbosity=0")
        project.manage("shell", "-c", self.MAKE)
        server = project.serve()
        yield server
        server.kill()

    def enter(self, browser: Browser, server: Server, name: str) -> Page:
        """Log in, and open the page."""
        window = open_context(browser).new_page()
        window.goto(server.url)
        window.fill("#id_username", name)
        window.fill("#id_password", name[0])
        window.press("#id_password", "Enter")
        expect(self.part(window, "tea", "output")).to_contain_text(name)
        return window

    def part(self, window: Page, room: str, name: str) -> Locator:
        """Find an element of a room's section."""
        return window.locator(f"section:has(h2:text-is('{room}')) {name}")

    def say(self, window: Page, room: str, text: str) -> None:
        """Say something in a room."""
        self.part(window, room, "input").fill(text)
        self.part(window, room, "input").press("Enter")

    def edit(self, window: Page, server: Server, room: str) -> Page:
        """Open a room in the admin, in another tab."""
        admin = window.context.new_page()
        admin.goto(f"{server.url}admin/rooms/room/")
        admin.click(f"text={room}")
        return admin

    def test_members_see_each_other_and_one_that_is_thrown_out_is_out_at_once(
        self, browser: Browser, server: Server
    ) -> None:
        ann, bob = self.enter(browser, server, "ann"), self.enter(browser, server, "bob")
        expect(self.part(ann, "tea", "output")).to_have_text("ann, bob")
        expect(self.part(bob, "attic", "output")).to_have_text("Permission denied")

        self.say(bob, "tea", "Hello")
        expect(self.part(ann, "tea", "li")).to_have_text("bob: Hello")

        admin = self.edit(ann, server, "tea")
        admin.select_option("#id_members", label="ann")
        admin.click("[name=_save]")
        expect(self.part(bob, "tea", "output")).to_have_text("Permission denied")
        expect(self.part(ann, "tea", "output")).to_have_text("ann")

    def test_a_renamed_room_keeps_its_members_and_a_deleted_one_has_none(
        self, browser: Browser, server: Server
    ) -> None:
        ann, bob = self.enter(browser, server, "ann"), self.enter(browser, server, "bob")
        admin = self.edit(ann, server, "tea")
        admin.fill("#id_name", "coffee")
        admin.click("[name=_save]")
        expect(admin.locator(".success")).to_be_visible()
        self.say(bob, "tea", "Hello")
        expect(self.part(ann, "tea", "li")).to_have_text("bob: Hello")

        admin.click("#result_list >> text=coffee")
        admin.click(".deletelink")
        admin.click("input[type=submit]")
        for window in (ann, bob):
            expect(self.part(window, "tea", "output")).to_have_text("Permission denied")
        expect(self.part(ann, "attic", "output")).to_have_text("ann")

    def test_who_logs_out_is_gone(self, browser: Browser, server: Server) -> None:
        ann, bob = self.enter(browser, server, "ann"), self.enter(browser, server, "bob")
        admin = ann.context.new_page()
        admin.goto(f"{server.url}admin/")
        admin.click("#logout-form button")
        expect(ann.locator("[role=status]")).to_have_text("Gone: Please log in.")
        expect(self.part(bob, "tea", "output")).to_have_text("bob")

    def test_a_page_that_loses_its_connection_comes_back(
        self, browser: Browser, server: Server
    ) -> None:
        ann = self.enter(browser, server, "ann")
        ann.evaluate("""() => {
            window.states = [];
            const note = () => window.states.push(state.textContent);
            new MutationObserver(note).observe(state, { childList: true });
            socket.io.engine.close();
        }""")
        self.say(ann, "tea", "Hello")
        expect(self.part(ann, "tea", "li")).to_have_text("ann: Hello")
        assert ann.evaluate("window.states") == ["Gone: forced close", ""]


class TestDashboard:
    def test_its_pages_show_how_many_there_are(self, browser: Browser, example: Example) -> None:
        server = example("dashboard").serve()
        try:
            windows = [open_context(browser).new_page() for _ in range(2)]
            for window in windows:
                window.goto(server.url)
            for window in windows:
                expect(window.locator("#clients")).to_have_text("2")
                expect(window.locator("#load")).to_have_text(re.compile(r"\d"))
            shown = int(windows[0].inner_text("#messages"))
            expect(windows[0].locator("#messages")).not_to_have_text(str(shown))
        finally:
            server.kill()


class TestTypedApi:
    def test_its_client_prints_what_the_page_shows(self, example: Example) -> None:
        project = example("typed_api")
        server = project.serve()
        try:
            printed = subprocess.run(
                [sys.executable, "client.py", server.url],
                cwd=project.folder,
                capture_output=True,
                text=True,
                check=True,
                timeout=PATIENCE,
            ).stdout
        finally:
            server.kill()
        (shown,) = page("examples/typed_api/README.md").of("text")
        assert printed == shown.text
