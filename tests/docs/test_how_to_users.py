"""Who may connect and subscribe: how-to guides, followed as in ``test_how_to_messages``."""

import json
import urllib.error
import urllib.parse
import urllib.request

import pytest
from playwright.sync_api import expect

from tests.docs.browser import chromium, open_context
from tests.docs.conftest import Connect, RunScript, Serve
from tests.docs.project import Project
from tests.docs.requests import get, post
from tests.docs.scripts import script_of
from tests.support.client import ConnectError


class TestRefusingClients:
    PAGE = "docs/how-to/refusing-clients.md"

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        server = serve(self.PAGE)
        lines = ["This page is too old.", "Reload: true", "Will it try again? false"]
        run_script(server, script_of(self.PAGE)).wait_for(lines)
        lines = ["room-1: true", "staff-news: Staff only.", "Sold out."]
        lines += ["Goodbye.", "io server disconnect"]
        run_script(server, script_of(self.PAGE)).wait_for(lines)


class TestWhoMay:
    PAGE = "docs/how-to/who-may.md"

    def test_its_page_shows_what_it_says(self, serve: Serve, run_script: RunScript) -> None:
        run_script(serve(self.PAGE), script_of(self.PAGE)).wait_for_all(
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
        run_script(serve(self.PAGE), script_of(self.PAGE)).wait_for(["The token is not valid."])

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


class TestLoginRequired:
    PAGE = "docs/how-to/login-required.md"

    def test_its_page_asks_for_a_login(self, serve: Serve, run_script: RunScript) -> None:
        run_script(serve(self.PAGE), script_of(self.PAGE)).wait_for(["Please log in."])

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
        run_script(serve(self.PAGE), script_of(self.PAGE)).wait_for_all(
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
