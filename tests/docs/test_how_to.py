"""The how-to guides, followed in the tutorial's project: their code does what they say.

A guide's Python makes a project, which is served; its JavaScript runs in Node.js as if it stood in
one of the project's pages, with what the script logs compared to what the guide says.
"""

import gzip
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import pytest
from playwright.sync_api import expect

from socketio_server.net.refusals import RefusalKind
from socketio_server.net.statistics import Snapshot
from tests.docs.browser import chromium, open_context
from tests.docs.conftest import Connect, RunScript, Serve
from tests.docs.pages import code, page
from tests.docs.project import Project
from tests.support.client import ConnectError
from tests.support.server import Server
from tests.support.tools import wait_until


def script(name: str) -> str:
    """Return all of a guide's scripts, as if they stood in one page."""
    return "".join(block.text for block in page(name).of("js"))


def post(server: Server, path: str, **form: str) -> str:
    """Send a form as a page of the site's would; return the answer."""
    token = "t" * 32
    request = urllib.request.Request(
        server.url + path,
        urllib.parse.urlencode(form).encode(),
        {"Cookie": f"csrftoken={token}", "X-CSRFToken": token},
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return str(response.read().decode())


def get(server: Server, path: str) -> str:
    """Fetch a page."""
    with urllib.request.urlopen(server.url + path, timeout=20) as response:
        return str(response.read().decode())


class ReportServer(ThreadingHTTPServer):
    """Takes what Sentry's package reports, and keeps the events."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ReportHandler)
        self.events: list[dict[str, Any]] = []
        self._thread = Thread(target=self.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class ReportHandler(BaseHTTPRequestHandler):
    """Takes an envelope: lines of JSON, the head of each item before the item."""

    server: ReportServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        items = [json.loads(line) for line in body.splitlines() if line.startswith(b"{")]
        self.server.events.extend(item for item in items if "exception" in item)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class TestAcknowledgements:
    PAGE = "docs/how-to/acknowledgements.md"

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        run_script(serve(self.PAGE), script(self.PAGE)).wait_for_all(
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
        run_script(serve(self.PAGE), script(self.PAGE)).wait_for_all(
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
        run_script(serve(self.PAGE), script(self.PAGE)).wait_for(
            ["three bytes: 3 bytes", "The digest has 32 bytes.", "12 pixels"]
        )


class TestTypedMessages:
    PAGE = "docs/how-to/typed-messages.md"

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        (error,) = page(self.PAGE).of("text")
        run_script(serve(self.PAGE), script(self.PAGE)).wait_for(
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
        run_script(serve(self.PAGE), script(self.PAGE)).wait_for(lines)

    def test_nobody_sends_more_than_twenty_messages_at_once(
        self, serve: Serve, connect: Connect
    ) -> None:
        client, other = connect(serve(self.PAGE)), connect(serve(self.PAGE))
        answers = [client.call("message", "hello") for _ in range(21)]
        assert answers == ["HELLO"] * 20 + [{"error": "Not so fast, please."}]
        assert other.call("message", "hello") == "HELLO"


class TestRefusingClients:
    PAGE = "docs/how-to/refusing-clients.md"

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        server = serve(self.PAGE)
        lines = ["This page is too old.", "Reload: true", "Will it try again? false"]
        run_script(server, script(self.PAGE)).wait_for(lines)
        lines = ["room-1: true", "staff-news: Staff only.", "Sold out."]
        lines += ["Goodbye.", "io server disconnect"]
        run_script(server, script(self.PAGE)).wait_for(lines)


class TestWhoMay:
    PAGE = "docs/how-to/who-may.md"

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        run_script(serve(self.PAGE), script(self.PAGE)).wait_for_all(
            ["Permission denied", "true", "Please log in.", "Staff only."]
        )


class TestAuthentication:
    PAGE = "docs/how-to/authentication.md"
    LOG_IN = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
user = User.objects.create_user("ann", is_staff=True)
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
print(session.session_key, user.pk)
"""

    def test_who_is_not_logged_in_is_refused(self, serve: Serve, connect: Connect) -> None:
        with pytest.raises(ConnectError) as caught:
            connect(serve(self.PAGE))
        assert caught.value.error == {"message": "Please log in."}

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        run_script(serve(self.PAGE), script(self.PAGE)).wait_for(["The token is not valid."])

    def test_who_is_logged_in_is_known_can_be_reached_and_is_sent_away_at_logout(
        self, serve: Serve, connect: Connect
    ) -> None:
        server = serve(self.PAGE)
        *_, line = serve.project(self.PAGE).manage("shell", "-c", self.LOG_IN).splitlines()
        session, user = line.split()
        client = connect(server, headers={"Cookie": f"sessionid={session}"})
        client.send({"action": "message", "message": "Hello!"})
        assert client.next_message() == {"action": "message", "message": "ann: Hello!"}
        assert get(server, f"remind/{user}/") == "Sent."
        assert client.next_event() == ["reminder", "Tea is ready."]
        token = "t" * 32
        urllib.request.urlopen(
            urllib.request.Request(
                server.url + "admin/logout/",
                b"",
                {"Cookie": f"csrftoken={token}; sessionid={session}", "X-CSRFToken": token},
            ),
            timeout=20,
        ).close()
        client.wait_for_close()
        assert client.disconnected

    def test_what_a_view_stores_in_the_session_meanwhile_stays(
        self, serve: Serve, connect: Connect
    ) -> None:
        server, project = serve(self.PAGE), serve.project(self.PAGE)
        make_eve = self.LOG_IN.replace('"ann"', '"eve"')
        *_, line = project.manage("shell", "-c", make_eve).splitlines()
        session, _ = line.split()
        client = connect(server, headers={"Cookie": f"sessionid={session}"})
        stored = (
            f"from django.contrib.sessions.backends.db import SessionStore as S; s = S({session!r})"
        )
        project.manage("shell", "-c", f"{stored}; s['seen'] = 1; s.save()")
        client.ask("colour", "blue")
        said = project.manage("shell", "-c", f"{stored}; print(s['seen'], s['colour'])")
        assert "1 blue" in said

    def test_a_browser_that_is_not_logged_in_shows_why_and_another_shows_the_name(
        self, serve: Serve
    ) -> None:
        server = serve(self.PAGE)
        make = "from django.contrib.auth.models import User as U; "
        make += "U.objects.create_superuser('carl', password='secret'); print(U.objects.count())"
        serve.project(self.PAGE).manage("shell", "-c", make)
        with chromium() as browser:
            stranger, member = (open_context(browser).new_page() for _ in range(2))
            stranger.goto(server.url)
            expect(stranger.locator("#messages li")).to_have_text("Please log in.")
            member.goto(server.url + "admin/")
            member.fill("[name=username]", "carl")
            member.fill("[name=password]", "secret")
            member.press("[name=password]", "Enter")
            expect(member.locator("body")).to_contain_text("Log out")
            member.goto(server.url)
            member.wait_for_function("socket.connected")
            member.fill("#text", "Hello!")
            member.press("#text", "Enter")
            expect(member.locator("#messages li").last).to_have_text("carl: Hello!")

    def test_a_token_that_the_project_signed_is_valid(self, serve: Serve, connect: Connect) -> None:
        sign = "from django.core import signing; print(signing.dumps('lamp', salt='device'))"
        token = serve.project(self.PAGE).manage("shell", "-c", sign).split()[-1]
        client = connect(serve(self.PAGE), join=False)
        client.carrier.send(f'40/devices,{{"token":"{token}"}}')
        client.wait_until(lambda: any("Hello, lamp." in packet for packet in client.packets))


class TestMovingFromChannels:
    PAGE = "docs/how-to/moving-from-channels.md"

    def test_its_page_hears_itself(self, serve: Serve, run_script: RunScript) -> None:
        run_script(serve(self.PAGE), script(self.PAGE)).wait_for(["Hello."])

    def test_a_room_hears_its_own(self, serve: Serve, connect: Connect) -> None:
        server = serve(self.PAGE)
        ann, bob, eve = (connect(server) for _ in range(3))
        assert ann.subscribe("chat-a") is True
        assert bob.subscribe("chat-a") is True
        assert eve.subscribe("chat-b") is True
        assert eve.subscribe("chat-" + "x" * 21) == {"error": "Permission denied"}
        eve.emit("chat_message", "a", "from outside")
        eve.emit("chat_message", "b", "alone")
        assert eve.next_event() == ["chat_message", "alone"]
        ann.emit("chat_message", "a", "Hi.")
        assert bob.next_event() == ["chat_message", "Hi."]
        assert get(server, "close/b/") == "Sent."
        assert eve.next_event() == ["chat_message", "We are closing."]


class TestLoginRequired:
    PAGE = "docs/how-to/login-required.md"

    def test_its_page_asks_for_a_login(self, serve: Serve, run_script: RunScript) -> None:
        run_script(serve(self.PAGE), script(self.PAGE)).wait_for(["Please log in."])

    def test_a_user_connects(self, serve: Serve, connect: Connect) -> None:
        project = serve.project(self.PAGE)
        project.manage("migrate", "--verbosity=0")
        key = project.manage("shell", "-c", TestAuthentication.LOG_IN).split()[-2]
        client = connect(serve(self.PAGE), headers={"Cookie": f"sessionid={key}"})
        assert client.subscribe("room-1") is True


class TestTokens:
    PAGE = "docs/how-to/tokens.md"

    @pytest.fixture
    def project(self, serve: Serve) -> Project:
        """The page's project, with a user and the page's database."""
        project = serve.project(self.PAGE)
        project.manage("migrate", "--verbosity=0")
        return project

    def run(self, project: Project, *lines: str) -> str:
        """Run code in the project, which knows ``ann``; return what it prints."""
        user = "ann = User.objects.get_or_create(username='ann')[0]"
        code = "; ".join(("from django.contrib.auth.models import User", user, *lines))
        return project.manage("shell", "-c", code).split()[-1]

    def test_its_page_says_what_is_wrong(
        self, project: Project, serve: Serve, run_script: RunScript
    ) -> None:
        run_script(serve(self.PAGE), script(self.PAGE)).wait_for_all(
            ["The token is not valid.", "JWT: The token is not valid."]
        )

    def test_a_token_of_the_framework_tells_who_it_is(
        self, project: Project, serve: Serve, connect: Connect
    ) -> None:
        token = self.run(
            project,
            "from rest_framework.authtoken.models import Token",
            "print(Token.objects.get_or_create(user=ann)[0].key)",
        )
        client = connect(serve(self.PAGE), auth={"token": token})
        assert client.call("who am i") == "ann"

    @pytest.mark.parametrize("auth", [None, {}, {"token": "none"}, {"token": [1]}, {"token": None}])
    def test_anything_else_is_refused(
        self, project: Project, serve: Serve, connect: Connect, auth: object
    ) -> None:
        with pytest.raises(ConnectError):
            connect(serve(self.PAGE), auth=auth)

    def test_a_jwt_tells_who_it_is(self, project: Project, serve: Serve, connect: Connect) -> None:
        self.run(project, "ann.set_password('a')", "ann.save()", "print()", "print('set')")
        server = serve(self.PAGE)
        answer = json.loads(post(server, "api/token/", username="ann", password="a"))
        client = connect(server, join=False)
        client.carrier.send(f'40/jwt,{{"token":"{answer["access"]}"}}')
        client.wait_until(lambda: any(p.startswith("0/jwt") for p in client.packets))
        client.carrier.send('42/jwt,7["who am i"]')
        client.wait_until(lambda: '3/jwt,7["ann"]' in client.packets)

    def test_a_jwt_that_expires_ends_its_connection(
        self, serve_anew: Serve, connect: Connect
    ) -> None:
        """With a leeway, an expired one is valid, and its connection ends at once."""
        project = serve_anew.project(self.PAGE)
        project.manage("migrate", "--verbosity=0")
        with (project.folder / "mysite" / "settings.py").open("a") as settings:
            settings.write('SIMPLE_JWT = {"LEEWAY": 3600}\n')
        token = self.run(
            project,
            "from datetime import timedelta",
            "from rest_framework_simplejwt.tokens import AccessToken",
            "token = AccessToken.for_user(ann)",
            "token.set_exp(lifetime=timedelta(seconds=-9))",
            "print(token)",
        )
        client = connect(serve_anew(self.PAGE), join=False)
        client.carrier.send(f'40/jwt,{{"token":"{token}"}}')
        client.wait_until(lambda: any(p.startswith("1/jwt") for p in client.packets))
        assert any(p.startswith('0/jwt,{"sid"') for p in client.packets)


class TestSentry:
    PAGE = "docs/how-to/sentry.md"

    def test_an_exception_of_a_handler_is_reported_once_with_the_request(
        self, tutorial: Project, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ReportServer() as reports:
            monkeypatch.setenv("SENTRY_DSN", f"http://key@127.0.0.1:{reports.server_port}/1")
            project = tutorial.copy(tmp_path / "project")
            project.follow(page(self.PAGE))
            server = project.serve()
            try:
                connect(server).emit("divide", 1, 0)
                wait_until(lambda: bool(reports.events), "a report")
            finally:
                server.stop()
        (event,) = reports.events
        assert event["exception"]["values"][-1]["type"] == "ZeroDivisionError"
        assert event["transaction"] == "divide"
        assert event["request"]["url"].startswith(f"{server.url}socket.io/?")
        assert event["user"] == {"id": None}


class TestStaticFiles:
    PAGE = "docs/how-to/static-files.md"

    def test_pages_get_their_scripts(self, serve: Serve) -> None:
        serve.project(self.PAGE).manage("collectstatic", "--noinput")
        server = serve(self.PAGE)
        found = re.findall(r'src="/([^"]+)"', get(server, ""))
        assert len(found) == 2
        for path in found:
            assert re.search(r"\.[0-9a-f]{12}\.js$", path)
            with urllib.request.urlopen(server.url + path, timeout=20) as response:
                assert "immutable" in response.headers["Cache-Control"]
                assert response.read()

    def test_a_client_connects(self, serve: Serve, run_script: RunScript) -> None:
        serve.project(self.PAGE).manage("collectstatic", "--noinput")
        text = 'io().on("connect", () => console.log("connected"));'
        run_script(serve(self.PAGE), text).wait_for(["connected"])


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


class TestMonitoring:
    PAGE = "docs/how-to/monitoring.md"

    def metrics(self, server: Server, headers: dict[str, str] | None = None) -> str:
        """Return what an exporter reads."""
        request = urllib.request.Request(server.url + "metrics/", headers=headers or {})
        with urllib.request.urlopen(request, timeout=20) as response:
            text: str = response.read().decode()
            return text

    def test_an_exporter_reads_all_counters(self, serve: Serve, connect: Connect) -> None:
        server = serve(self.PAGE)
        client = connect(server)
        client.subscribe("")
        first, *lines = self.metrics(server).splitlines()
        assert first == "socketio_servers_missing 0"
        labels = re.fullmatch(r'socketio_connections\{(server="[\w.-]+")\} \d+', lines[0])
        assert labels is not None
        (label,) = labels.groups()
        names = Snapshot.__required_keys__ - {"refusals"}  # without a broker
        found = {line.partition(" ")[0] for line in lines[:-1]}
        assert found == {f"socketio_{name}{{{label}}}" for name in names}
        assert f"socketio_sockets{{{label}}} 1" in lines
        assert lines[-1] == f'socketio_refusals{{{label},kind="channel"}} 1'

    def test_nobody_else_does(self, serve: Serve) -> None:
        with pytest.raises(urllib.error.HTTPError) as caught:
            self.metrics(serve(self.PAGE), {"X-Forwarded-For": "203.0.113.1"})
        assert caught.value.code == 403
        caught.value.close()

    def test_every_kind_of_refusal_is_there(self) -> None:
        kinds = {code(row[0]) for row in page(self.PAGE).rows}
        assert kinds == set(RefusalKind)


class TestAnotherPortOrHost:
    """What pages on another port of the same host can do is in ``test_another_port``."""

    PAGE = "docs/how-to/another-port-or-host.md"
    HANDSHAKE = "live/socket.io/?EIO=4&transport=polling"

    def status(self, server: Server, host: str, origin: str) -> int:
        """Return how a handshake for a host from a page of some origin is answered."""
        request = urllib.request.Request(
            server.url + self.HANDSHAKE, headers={"Host": host, "Origin": origin}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def test_pages_that_are_listed_may_connect_to_the_hosts_that_are_listed(
        self, serve: Serve
    ) -> None:
        server = serve(self.PAGE)
        assert self.status(server, "live.example.com", "https://www.example.com") == 200
        assert self.status(server, "live.example.com", "https://live.example.com") == 200

    def test_other_pages_may_not(self, serve: Serve) -> None:
        server = serve(self.PAGE)
        assert self.status(server, "live.example.com", "https://evil.example") == 403
        assert self.status(server, "live.example.com", "https://www.example.com:8000") == 403
        assert self.status(server, "evil.example", "https://www.example.com") in (400, 403)


class TestMovingFromDjangoSocketio:
    PAGE = "docs/how-to/moving-from-django-socketio.md"

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        run_script(serve(self.PAGE), script(self.PAGE)).wait_for(["connected", "an array"])

    def test_its_handlers_run_by_their_channels(self, serve: Serve, connect: Connect) -> None:
        client = connect(serve(self.PAGE))
        client.send("before")
        client.subscribe("dashboard")
        client.send("after")
        assert client.next_messages(2) == ["before", {"dashboard": "after"}]

    def test_all_names_of_the_table_exist(self) -> None:
        for old, new in page(self.PAGE).rows:
            if "import" in new:
                exec(new.strip("`"))
            assert "django_socketio" in old or new == "the same", old

    def test_a_port_as_text_is_named_by_check(self, serve: Serve, tmp_path: Path) -> None:
        project = serve.project(self.PAGE).copy(tmp_path / "project")
        with (project.folder / "mysite" / "settings.py").open("a") as settings:
            settings.write('SOCKETIO_PORT = "9000"\n')
        with pytest.raises(AssertionError, match=r"socketio_server\.E001.*SOCKETIO_PORT"):
            project.manage("check")
