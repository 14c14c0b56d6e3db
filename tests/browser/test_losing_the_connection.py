"""The demo: what it shows while it has no connection, and that it gets over it by itself."""

import re
import signal

import pytest
from playwright.sync_api import Route, expect

from tests.browser.servers import DEMO
from tests.browser.window import DemoWindow, OpenDemo
from tests.support.server import Server
from tests.support.tools import free_port
from tests.support.types import StartServer

WELCOME = ["You are connected.", "You are in room-1."]
"""What the server says for one connection with one subscription."""

BACK = re.compile(r"^Back online; what was said meanwhile is missing here · \d\d:\d\d$")
"""What a window says itself when it has come back."""


def assert_shows_that_it_is_offline(window: DemoWindow) -> None:
    expect(window.state).to_have_text("Offline")
    expect(window.alert).to_contain_text("The connection is lost.")
    expect(window.send_button).to_be_disabled()


def assert_shows_that_it_is_online(window: DemoWindow) -> None:
    expect(window.state).to_have_text("Online")
    expect(window.alert).to_be_hidden()
    expect(window.send_button).to_be_enabled()


class TestTheIndicator:
    def test_tells_connecting_from_online(self, open_demo: OpenDemo, demo: Server) -> None:
        window = open_demo("about:blank", wait=False)
        held: list[Route] = []
        window.page.route("**/socket.io/*", lambda route: held.append(route), times=1)
        window.page.goto(demo.url)
        window.wait_until(lambda: bool(held), "the handshake")

        expect(window.state).to_have_text("Connecting…")
        expect(window.send_button).to_be_disabled()
        expect(window.alert).to_be_hidden()

        held[0].continue_()
        assert_shows_that_it_is_online(window)

    def test_shows_offline_while_the_browser_has_no_network(self, open_demo: OpenDemo) -> None:
        window = open_demo()
        window.wait_for_upgrade()
        window.context.set_offline(True)
        assert_shows_that_it_is_offline(window)
        window.context.set_offline(False)
        assert_shows_that_it_is_online(window)
        expect(window.system_info).to_have_text([*WELCOME, BACK])

    def test_is_told_once_however_often_the_connection_is_lost(self, open_demo: OpenDemo) -> None:
        window, other = open_demo(), open_demo()
        for _ in range(3):
            window.context.set_offline(True)
            assert_shows_that_it_is_offline(window)
            window.context.set_offline(False)
            assert_shows_that_it_is_online(window)
        other.say("hello")
        expect(window.said).to_have_text(["hello"])
        expect(window.system_info).to_have_text([*WELCOME, BACK])
        window.context.set_offline(True)
        assert_shows_that_it_is_offline(window)
        window.context.set_offline(False)
        assert_shows_that_it_is_online(window)
        expect(window.system_info).to_have_text([*WELCOME, BACK, BACK])


class TestAServerThatGoesAndComesBack:
    @pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
    def test_has_its_windows_back_each_on_its_channel_once(
        self, start_server: StartServer, open_demo: OpenDemo, signum: signal.Signals
    ) -> None:
        arguments = ("--noreload", f"127.0.0.1:{free_port()}")
        server = start_server(manage=DEMO, arguments=arguments)
        first, second = windows = [open_demo(server.url), open_demo(server.url)]
        first.say("before")
        expect(second.said).to_have_text(["before"])

        server.stop(signum)
        for window in windows:
            assert_shows_that_it_is_offline(window)
        first.text_field.fill("written meanwhile")
        first.text_field.press("Enter")

        start_server(manage=DEMO, arguments=arguments)
        for window in windows:
            assert_shows_that_it_is_online(window)
        expect(first.text_field).to_have_value("written meanwhile")
        first.send_button.click()
        expect(second.said).to_have_text(["before", "written meanwhile"])
        second.say("after")
        for window in windows:
            expect(window.said).to_have_text(["before", "written meanwhile", "after"])
            expect(window.system_info).to_have_text([*WELCOME, BACK])
