"""The demo: what is typed in one window appears in all."""

import pytest
from playwright.sync_api import Route, WebSocketRoute, expect

from tests.browser.servers import PAGES
from tests.browser.window import DemoWindow, OpenDemo, OpenWindow, TransportName
from tests.support.server import Server
from tests.support.types import StartServer

WORDS = {"polling": "xhr-polling", "websocket": "websocket"}
"""What pages written for django-socketio called the transports."""


def choose(window: DemoWindow, transport: TransportName) -> None:
    """Let the demo's script make its socket for one transport only."""
    options = f"null, {{ transports: ['{WORDS[transport]}'] }}"

    def rewrite(route: Route) -> None:
        script = route.fetch().text()
        assert "new io.Socket()" in script
        script = script.replace("new io.Socket()", f"new io.Socket({options})")
        route.fulfill(body=script, content_type="text/javascript")

    window.page.route("**/chat.js", rewrite)


def say_and_answer(first: DemoWindow, second: DemoWindow) -> None:
    """Let two windows talk; both show what was said in either."""
    first.say("the first says")
    expect(second.said).to_have_text(["the first says"])
    second.say("the second answers")
    for window in (first, second):
        expect(window.said).to_have_text(["the first says", "the second answers"])


class TestTwoWindows:
    @pytest.mark.parametrize("transport", WORDS)
    def test_show_what_is_typed_in_either_over_one_transport(
        self, open_demo: OpenDemo, demo: Server, transport: TransportName
    ) -> None:
        first, second = windows = [open_demo("about:blank", wait=False) for _ in range(2)]
        for window in windows:
            choose(window, transport)
            window.page.goto(demo.url)
            expect(window.state).to_have_text("Online")
        say_and_answer(first, second)
        for window in windows:
            assert {used for used, _ in window.traffic.sent} == {transport}
            assert window.traffic.deliverers("the first says") == {transport}

    def test_show_what_is_typed_in_either_after_the_upgrade(self, open_demo: OpenDemo) -> None:
        first, second = windows = [open_demo(), open_demo()]
        for window in windows:
            window.wait_for_upgrade()
        say_and_answer(first, second)
        assert first.traffic.carriers("the first says") == {"websocket"}
        assert second.traffic.carriers("the second answers") == {"websocket"}
        for window in windows:
            assert window.traffic.polls > 0
            assert window.traffic.deliverers("the first says") == {"websocket"}

    def test_tell_what_is_ones_own_from_what_others_said(self, open_demo: OpenDemo) -> None:
        first, second = open_demo(), open_demo()
        first.name_field.fill("Ann")
        first.say("hello")
        expect(first.page.locator(".mine .said")).to_have_text("hello")
        expect(first.log).not_to_contain_text("Ann")
        expect(second.speakers).to_have_text("Ann")


class TestMessagesOfOnePerson:
    def test_in_a_row_have_name_picture_and_time_once(self, open_demo: OpenDemo) -> None:
        first, second = open_demo(), open_demo()
        first.name_field.fill("Ann")
        second.name_field.fill("Bob")
        for count, (window, text) in enumerate(
            [(first, "one"), (first, "two"), (second, "three"), (first, "four")], start=1
        ):
            window.say(text)
            for each in (first, second):
                expect(each.said).to_have_count(count)
        expect(second.speakers).to_have_text(["Ann", "Ann"])
        expect(second.page.locator(".avatar")).to_have_count(2)
        expect(second.log.locator("time")).to_have_count(3)
        expect(first.log.locator("time")).to_have_count(3)

    def test_are_parted_by_another_name_and_by_five_minutes(self, open_demo: OpenDemo) -> None:
        first, second = open_demo(), open_demo()
        second.page.clock.install()
        first.name_field.fill("Ann")
        first.say("one")
        expect(second.said).to_have_count(1)
        second.page.clock.fast_forward("04:59")
        first.say("two")
        expect(second.said).to_have_count(2)
        second.page.clock.fast_forward("00:02")
        first.say("three")
        expect(second.speakers).to_have_text(["Ann", "Ann"])
        first.name_field.fill("Annie")
        first.say("four")
        expect(second.speakers).to_have_text(["Ann", "Ann", "Annie"])

    def test_have_the_speaker_each_for_those_who_hear_them(self, open_demo: OpenDemo) -> None:
        first, second = open_demo(), open_demo()
        first.name_field.fill("Ann")
        first.say("one")
        first.say("two")
        expect(second.page.locator(".theirs").last).to_have_text("Anntwo")
        expect(first.page.locator(".mine").last).to_have_text("Youtwo")


class TestTheTransport:
    def test_stays_polling_where_something_on_the_way_breaks_websockets(
        self, open_demo: OpenDemo, demo: Server
    ) -> None:
        window = open_demo("about:blank", wait=False)
        broken: list[WebSocketRoute] = []

        def break_websocket(route: WebSocketRoute) -> None:
            route.close()
            broken.append(route)

        window.page.route_web_socket("**/socket.io/*", break_websocket)
        window.page.goto(demo.url)
        expect(window.state).to_have_text("Online")
        window.wait_until(lambda: bool(broken), "the upgrade's attempt")
        window.say("all the same")
        expect(window.said).to_have_text(["all the same"])
        assert window.traffic.carriers("all the same") == {"polling"}
        expect(window.state).to_have_text("Online")

    def test_stays_polling_where_the_server_offers_nothing_else(
        self, open_demo: OpenDemo, share_server: StartServer
    ) -> None:
        settings = {"SOCKETIO_TRANSPORTS": ["polling"], "SOCKETIO_EVENTS": ["events"]}
        window = open_demo(share_server(manage=PAGES, settings=settings).url)
        window.say("slowly")
        expect(window.said).to_have_text(["slowly"])
        assert window.traffic.carriers("slowly") == {"polling"}
        assert window.traffic.websockets == 0


class TestTheUpgrade:
    def test_loses_doubles_and_mixes_nothing_that_is_under_way(
        self, open_window: OpenWindow, bare: str
    ) -> None:
        window = open_window(bare)
        window.run("""
            // The upgrade begins when there is enough under way.
            var send = WebSocket.prototype.send, probe;
            WebSocket.prototype.send = function (data) {
              if (data === "2probe") {
                probe = () => send.call(this, data);
              } else {
                send.call(this, data);
              }
            };

            var socket = io(), sent = 0, echoes = [], ticks = [], until = Infinity;
            socket.on("connect", () => {
              socket.emit("tick");
              (function talk() {
                if (socket.connected) {
                  socket.send(sent++);
                  setTimeout(talk, 0);
                }
              })();
            });
            socket.on("message", (number) => { echoes.push(number); look(); });
            socket.on("tick", (number) => { ticks.push(number); look(); });
            socket.io.on("open", () => {
              socket.io.engine.on("upgrade", () => { until = Math.max(sent, ticks.length) + 100; });
            });
            function look() {
              if (probe && echoes.length > 20 && ticks.length > 20) {
                probe();
                probe = undefined;
              }
              if (echoes.length > until && ticks.length > until) {
                got.push(echoes, ticks);
                socket.disconnect();
              }
            }
        """)
        echoes, ticks = window.got(2)
        assert echoes == list(range(len(echoes)))
        assert ticks == list(range(len(ticks)))
        assert {transport for transport, _ in window.traffic.sent} == {"polling", "websocket"}
