"""Messages between pages and handlers: how-to guides, followed in the tutorial's project.

A guide's Python makes a project, which is served; its JavaScript runs in Node.js as if it stood in
one of the project's pages, with what the script logs compared to what the guide says.
"""

import urllib.error
import urllib.parse
import urllib.request

import pytest
from playwright.sync_api import expect

from tests.docs.browser import chromium, open_context
from tests.docs.conftest import Connect, RunScript, Serve
from tests.docs.pages import page
from tests.docs.requests import get, post
from tests.docs.scripts import script_of


class TestAcknowledgements:
    PAGE = "docs/how-to/acknowledgements.md"

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        run_script(serve(self.PAGE), script_of(self.PAGE)).wait_for_all(
            [
                "Stored: true",
                "The sum is 5.",
                "3, and 1 is left.",
                "It is 23.",
                "There was no answer.",
                "Rename it to Ann?",
                "renamed to Ann",
                "You like blue.",
                "Tea?",
                "Yes: 1",
            ]
        )

    def test_what_a_handler_raises_is_in_the_log_only(self, serve: Serve, connect: Connect) -> None:
        server = serve(self.PAGE)
        client = connect(server)
        client.ask_later("divide", 1, 0)
        assert client.call("add", 1, 1) == 2
        server.wait_for_output("ZeroDivisionError")
        assert not any("Zero" in packet for packet in client.packets)

    def test_several_clients_are_asked_at_once(self, serve: Serve, connect: Connect) -> None:
        server = serve(self.PAGE)
        asking, answering = connect(server), connect(server)
        for client in (asking, answering):
            client.subscribe("room-1")
        answer = asking.ask_later("vote", "Tea?")
        assert answering.next_event() == ["question", "Tea?"]
        (question,) = (packet for packet in answering.packets if "Tea?" in packet)
        ack_id = question[1:].partition("[")[0]
        answering.carrier.send(f"43{ack_id}[true]")
        asking.wait_until(lambda: asking.is_acknowledged(answer))
        assert asking.answer_to(answer) == [{"yes": 1, "no answer": 1}]


class TestNamespaces:
    PAGE = "docs/how-to/namespaces.md"

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        run_script(serve(self.PAGE), script_of(self.PAGE)).wait_for_all(
            [
                "Welcome to the news.",
                "News: It works",
                "published",
                "e4 in /game-7",
                "Invalid namespace",
            ]
        )

    def test_a_view_reaches_a_namespace(self, serve: Serve, connect: Connect) -> None:
        client = connect(serve(self.PAGE), join=False)
        client.carrier.send("40/news,")
        client.wait_until(lambda: any("Welcome" in packet for packet in client.packets))
        assert get(serve(self.PAGE), "breaking/") == "Sent."
        client.wait_until(lambda: any("Breaking!" in packet for packet in client.packets))


class TestBinary:
    PAGE = "docs/how-to/binary.md"

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        run_script(serve(self.PAGE), script_of(self.PAGE)).wait_for(
            [
                *("three bytes: 3 bytes", "The digest has 32 bytes.", "12 pixels"),
                *("arrived: 64000", "arrived: 128000", "arrived: 150000"),
            ]
        )

    @pytest.mark.parametrize("transport", ["polling", "websocket"])
    def test_its_settings_are_enough_for_a_file_of_4_mb(
        self, serve: Serve, run_script: RunScript, transport: str
    ) -> None:
        script = f"""
            const socket = io({{ transports: ["{transport}"] }});
            const file = {{ name: "large", data: new Uint8Array(4_000_000) }};
            console.log((await socket.emitWithAck("upload", file)).size);
        """
        run_script(serve(self.PAGE), script).wait_for(["4000000"])


class TestTypedMessages:
    PAGE = "docs/how-to/typed-messages.md"

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        (error,) = page(self.PAGE).of("text")
        run_script(serve(self.PAGE), script_of(self.PAGE)).wait_for(
            [
                "moved to 3, 4",
                "moved to 3, 0",
                error.text.strip(),
                "2 guests on 17 May",
                "Invalid: Expected `int`, got `str` - at `$.room`",
            ]
        )

    def test_one_line_is_logged_without_a_traceback(
        self, serve_anew: Serve, connect: Connect
    ) -> None:
        """One in ten seconds, which on a server of all tests may have been another's."""
        server = serve_anew(self.PAGE)
        assert "error" in connect(server).call("move", {"x": "three"})
        server.wait_for_output(r"invalid message to move .*Expected `int`, got `str`")
        assert "Traceback" not in server.output

    def test_an_argument_that_is_left_out_is_the_handlers_business(
        self, serve: Serve, connect: Connect
    ) -> None:
        server = serve(self.PAGE)
        connect(server).emit("move")
        server.wait_for_output(r"TypeError: move\(\) missing 1 required positional argument")


class TestMiddleware:
    PAGE = "docs/how-to/middleware.md"

    def test_slow_handlers_are_warned_of(self, serve: Serve, connect: Connect) -> None:
        server = serve(self.PAGE)
        assert connect(server).call("report") == "done"
        server.wait_for_output(r"report took \d\.\d s")

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        lines = ["Welcome.", "done", *["HELLO"] * 20, "Not so fast, please."]
        run_script(serve(self.PAGE), script_of(self.PAGE)).wait_for(lines)

    def test_nobody_sends_more_than_twenty_messages_at_once(
        self, serve: Serve, connect: Connect
    ) -> None:
        client, other = connect(serve(self.PAGE)), connect(serve(self.PAGE))
        answers = [client.call("message", "hello") for _ in range(21)]
        assert answers == ["HELLO"] * 20 + [{"error": "Not so fast, please."}]
        assert other.call("message", "hello") == "HELLO"


class TestCommits:
    PAGE = "docs/how-to/commits.md"

    def test_a_view_s_signals_are_told_if_it_commits(self, serve: Serve, connect: Connect) -> None:
        client = connect(serve(self.PAGE))
        assert post(serve(self.PAGE), "sign-up/", names="ann bob") == "Welcome."
        assert post(serve(self.PAGE), "sign-up/", names="eve ann") == (
            "One of these names is taken."
        )
        assert post(serve(self.PAGE), "sign-up/", names="zoe") == "Welcome."
        assert [client.next_event()[1] for _ in range(3)] == ["ann", "bob", "zoe"]

    def test_a_handler_s_messages_arrive_if_it_returns(
        self, serve: Serve, connect: Connect
    ) -> None:
        server = serve(self.PAGE)
        client, other = connect(server), connect(server)
        post(server, "sign-up/", names="tom tim")
        assert other.next_event() == ["new user", "tom"]
        assert other.next_event() == ["new user", "tim"]
        client.ask_later("rename", "tom", "tim")
        assert client.call("rename", "tom", "tomas") is True
        assert other.next_message() == "tom is tomas now."

    def test_its_tests_pass(self, serve: Serve) -> None:
        said = serve.project(self.PAGE).manage("test")
        assert "Ran 2 tests" in said
        assert "OK" in said


class TestSendingFromOutside:
    PAGE = "docs/how-to/sending-from-outside.md"

    def test_a_view_reaches_everybody(self, serve: Serve, connect: Connect) -> None:
        client = connect(serve(self.PAGE))
        assert post(serve(self.PAGE), "announce/", text="Hello!") == "Sent."
        assert client.next_message() == {"action": "message", "message": "Hello!"}

    def test_a_view_learns_that_nobody_is_there(self, serve_anew: Serve) -> None:
        assert post(serve_anew(self.PAGE), "announce/", text="Hello!") == "Nobody is there."

    def test_a_signal_reaches_everybody(self, serve: Serve, connect: Connect) -> None:
        client = connect(serve(self.PAGE))
        assert post(serve(self.PAGE), "sign-up/", name="bob") == "Welcome."
        assert client.next_event() == ["new user", "bob"]

    def test_the_page_shows_what_its_forms_and_the_command_send(self, serve: Serve) -> None:
        server = serve(self.PAGE)
        with chromium() as browser:
            sender, window = (open_context(browser).new_page() for _ in range(2))
            window.goto(server.url)
            window.wait_for_function("socket.connected")
            items = window.locator("#messages li")
            for view, field, text, answer, shown in [
                ("announce", "text", "Hello!", "Sent.", "Hello!"),
                ("sign-up", "name", "eve", "Welcome.", "eve has signed up."),
            ]:
                sender.goto(server.url)
                form = sender.locator(f"form[action='/{view}/']")
                form.locator(f"[name={field}]").fill(text)
                form.locator("button").click()
                expect(sender.locator("body")).to_have_text(answer)
                expect(items.last).to_have_text(shown)
            serve.project(self.PAGE).manage("notify", "Closed.", "--server", server.url)
            expect(items.last).to_have_text("Notice: Closed.")

    def test_a_command_reaches_everybody_through_the_server(
        self, serve: Serve, connect: Connect
    ) -> None:
        server = serve(self.PAGE)
        client = connect(server)
        (command,) = page(self.PAGE).of("sh")
        text = command.text.split('"')[1]
        said = serve.project(self.PAGE).manage("notify", text, "--server", server.url)
        assert "Sent." in said
        assert client.next_event() == ["notice", text]

    def test_who_has_no_signature_reaches_nobody(self, serve: Serve) -> None:
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(serve(self.PAGE), "notify/", text="Hello!")
        assert caught.value.code == 403
        caught.value.close()

    def test_another_process_has_no_clients(self, serve: Serve, connect: Connect) -> None:
        connect(serve(self.PAGE))
        code = """
import socketio_server
socketio_server.emit("notice", "nobody gets it")
try:
    socketio_server.broadcast("nobody gets it")
except socketio_server.NoSocket as error:
    print(error)
"""
        said = serve.project(self.PAGE).manage("shell", "-c", code)
        assert "There are no clients." in said
