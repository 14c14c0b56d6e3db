"""Pages of other sites with a visitor's cookies, and thieves of a ``sid``."""

import json
from collections.abc import Mapping
from contextlib import suppress

import pytest

from tests.faults.crowd import OPEN, ask, host_of, join
from tests.faults.watch import Watch, look
from tests.support.http import Http, Refused
from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.types import StartServer
from tests.support.websocket import TEXT, WebSocket, frame, handshake_headers
from tests.support.wire import Polling, target

COOKIES = "sessionid=0123456789abcdef; csrftoken=xyz"

FOREIGN = (
    "http://evil.example",
    "https://evil.example",
    "null",
    "",
    "file://",
    "http://{name}",
    "https://{name}",
    "http://{name}:1",
    "http://{host}.evil.example",
    "http://evil.example/{host}",
    "http://evil.example?{host}",
    "http://evil.example#{host}",
    "http://{host}@evil.example",
    "http://evil.example\\@{host}:80",
    "http://[{name}]:{port}",
    "//{host}",
    "{host}",
    "ws://{host}",
    "http://{host}, http://evil.example",
    "http://evil.example, http://{host}",
    "http://localhost:{port}",
    "http://127.1:{port}",
    "http://2130706433:{port}",
    "javascript:{host}",
)
"""Origins that are not the server's own; some try to look like it."""


def foreign_origins(server: Server) -> list[str]:
    """Return them for a server."""
    name, port = server.address
    return [o.format(name=name, port=port, host=host_of(server)) for o in FOREIGN]


def bound_session(server: Server) -> tuple[Polling, str]:
    """Return a session over polling, joined, and the cookie that binds it to its browser.

    The browser has the cookie from an earlier session, which is over.
    """
    with Http(server.address) as http:
        response = http.get(target("polling"))
        cookie = response.headers["set-cookie"].split(";")[0]
        sid = json.loads(response.text[1:])["sid"]
        ended = http.request("POST", target("polling", sid=sid), "1", {"Cookie": cookie})
        assert ended.status == 200
    session = Polling(server.address, headers={"Cookie": cookie})
    OPEN.append(session)
    session.send("40")
    session.receive()
    return session, cookie


def ask_over_polling(session: Polling, number: int) -> list[str]:
    """Ask something over polling; return what comes until the answer, which is the last."""
    session.send(f'42{number}["echo",{number}]')
    packets: list[str] = []
    while f"43{number}[{number}]" not in packets:
        packets += session.receive()
    return packets


def attempts(server: Server, sid: str, headers: Mapping[str, str]) -> list[int]:
    """Try all that a page can do with a session; return the statuses."""
    paths = {name: target(name, sid=sid) for name in ("polling", "websocket")}
    found = []
    for method, path, body, more in (
        ("GET", paths["polling"], "", {}),
        ("POST", paths["polling"], '42["message","forged"]', {}),
        ("POST", paths["polling"], "1", {}),
        ("GET", paths["websocket"], "", handshake_headers()),
    ):
        with Http(server.address) as http:
            response = http.request(method, path, body, {**headers, **more})
            found.append(response.status)
            if "Origin" in headers:
                assert "access-control-allow-origin" not in response.headers
    return found


class TestOtherSites:
    """Browsers send a visitor's cookies along, and no handler may act for them."""

    def test_get_no_session(self, server: Server, watch: Watch) -> None:
        origins = foreign_origins(server)
        with watch(server, "other sites", "handshakes with cookies", inputs=len(origins) * 4):
            before = look(server, "census")["tally"]
            wrong = {}
            for origin in origins:
                headers = {"Origin": origin, "Cookie": COOKIES}
                with Http(server.address) as http:
                    response = http.get(target("polling"), headers)
                    posted = http.request("POST", target("polling"), "40", headers)
                    asked = http.request("OPTIONS", target("polling"), headers=headers)
                statuses = [response.status, posted.status, 403]
                with suppress(Refused):
                    WebSocket(server.address, target("websocket"), headers)
                    statuses[2] = 101
                allowed = {"access-control-allow-origin"} & {*response.headers, *asked.headers}
                if statuses != [403] * 3 or allowed:
                    wrong[origin] = statuses, allowed
            assert wrong == {}
            assert look(server, "census")["tally"] == before

    @pytest.mark.parametrize("revision", ["4", "3"])
    def test_get_no_session_with_an_image(
        self, server: Server, watch: Watch, revision: str
    ) -> None:
        """Its request has cookies, but no origin."""
        path = target("polling", EIO=revision)
        headers = {"Cookie": COOKIES, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        with watch(server, "other sites", f"images, revision {revision}", inputs=25):
            before = look(server, "census")["tally"]
            for _ in range(25):
                with Http(server.address) as http:
                    assert http.get(path, headers).status == 403
            assert look(server, "census")["tally"] == before

    def test_get_nothing_of_a_session_under_a_name_of_theirs(
        self, server: Server, watch: Watch
    ) -> None:
        """Their DNS can let a name of theirs lead to the server."""
        with watch(server, "other sites", "rebound names", inputs=4):
            session, cookie = bound_session(server)
            headers = {"Host": "evil.example", "Cookie": cookie}
            for extra in ({}, {"Origin": "http://evil.example"}):
                found = attempts(server, session.handshake["sid"], {**headers, **extra})
                assert found == [403] * 4
            assert ask_over_polling(session, 1) == ["431[1]"]
            session.close()

    def test_get_nothing_of_a_session_that_is_there(self, server: Server, watch: Watch) -> None:
        origins = foreign_origins(server)
        with watch(server, "other sites", "requests for a session", inputs=len(origins) * 4):
            session, cookie = bound_session(server)
            before = look(server, "census")["tally"]
            for number, origin in enumerate(origins):
                headers = {"Origin": origin, "Cookie": f"{COOKIES}; {cookie}"}
                found = attempts(server, session.handshake["sid"], headers)
                assert found == [403] * 4, origin
                assert ask_over_polling(session, number) == [f"43{number}[{number}]"]
            assert look(server, "census")["tally"] == before
            session.close()

    def test_get_nothing_with_a_plain_page_of_a_secure_site(
        self, share_attacked: StartServer, watch: Watch
    ) -> None:
        """Who sits in the network writes the pages of ``http://``."""
        proxy = ("HTTP_X_FORWARDED_PROTO", "https")
        server = share_attacked(settings={"SECURE_PROXY_SSL_HEADER": proxy})
        secure = {"X-Forwarded-Proto": "https"}
        plain = {**secure, "Origin": f"http://{host_of(server)}", "Cookie": COOKIES}
        with watch(server, "other sites", "plain pages of a secure site", inputs=5):
            session = Polling(
                server.address, headers={**secure, "Origin": f"https://{host_of(server)}"}
            )
            OPEN.append(session)
            assert attempts(server, session.handshake["sid"], plain) == [403] * 4
            with Http(server.address) as http:
                assert http.get(target("polling"), plain).status == 403
            session.close()


class TestAKickedClient:
    def test_is_out_of_reach_until_it_joins_again_and_gets_everything_once_then(
        self, server: Server, watch: Watch
    ) -> None:
        with watch(server, "gone is gone", "kicked clients", inputs=25):
            before = look(server, "census")["tally"].get("too late", 0)
            channels = look(server, "stats")["channels"]
            speaker = join(server)
            for number in range(25):
                client = join(server)
                assert ask(client, '["__subscribe__","room"]') == "[true]"
                client.send_text('42["kick"]')
                assert client.receive_text() == "41"
                ask(speaker, '["say","room","for those who are there"]')
                ask(speaker, '["say","too-late","for nobody"]')
                client.send_text("40")
                assert client.receive_text().startswith('40{"sid"')
                assert ask(client, '["__subscribe__","room"]') == "[true]"
                ask(speaker, f'["say","room",{number}]')
                assert client.receive_text() == f'42["message",{number}]'
                assert ask(client, '["echo",1]') == "[1]"
                client.close()
            speaker.close()
            assert look(server, "census")["tally"].get("too late", 0) == before
            assert look(server, "stats")["channels"] == channels

    def test_has_said_nothing_that_still_counts(self, server: Server, watch: Watch) -> None:
        """What waited behind the kick was handled, for as long as that took."""
        votes = frame(TEXT, '42["vote"]') * 50
        with watch(server, "gone is gone", "votes before a kick", inputs=25 * 50):
            before = look(server, "census")["tally"]
            finished = before.get("on_finish", 0)
            for _ in range(25):
                client = join(server)
                client.send(frame(TEXT, '42["wait",0.05]') + frame(TEXT, '42["kick"]') + votes)
                assert client.receive_text() == "41"
                client.close()
            wait_until(
                lambda: look(server, "census")["tally"].get("on_finish", 0) >= finished + 25,
                "their last handlers",
            )
            assert look(server, "census")["tally"].get("vote", 0) == before.get("vote", 0)

    def test_is_gone_at_once_while_a_handler_decides_what_it_may_get(
        self, server: Server, watch: Watch
    ) -> None:
        """What was held for it arrived, and its session was open, when the handler had decided."""
        with watch(server, "gone is gone", "kicks before a decision", inputs=25):
            speaker = join(server)
            clients = [join(server) for _ in range(25)]
            for client in clients:
                client.send_text("40/part-1,")
                client.receive_text()
                client.send_text('42["__subscribe__","undecided"]')
            wait_until(
                lambda: look(server, "census")["tally"].get("undecided") == 25, "the handlers"
            )
            assert ask(speaker, '["say","undecided","for members"]') == "[]"
            for client in clients:
                client.send_text('42/part-1,["kick all"]')
                assert {client.receive_text(), client.receive_text()} == {"41", "41/part-1,"}
                client.wait_for_close()
            assert ask(speaker, '["go on"]') == "[]"
            for client in (speaker, *clients):
                client.close()


class TestAStrangerThatIsJudged:
    def test_gets_nothing_of_the_channel_and_answers_no_question_to_it(
        self, server: Server, watch: Watch
    ) -> None:
        """The ids of acknowledgements can be guessed."""
        with watch(server, "gone is gone", "guessed answers", inputs=1000):
            member, host, speaker = join(server), join(server), join(server)
            stranger = join(server, query={"stranger": "1"})
            assert ask(member, '["__subscribe__","judged"]') == "[true]"
            stranger.send_text('421["__subscribe__","judged"]')
            wait_until(
                lambda: look(server, "census")["tally"].get("judged"), "the stranger to be judged"
            )
            host.send_text('421["survey","judged",60]')
            question = member.receive_text()
            ack_id = int(question.removeprefix("42").partition("[")[0])
            for guessed in range(max(0, ack_id - 500), ack_id + 500):
                stranger.send_text(f'43{guessed}["forged"]')
            assert ask(speaker, '["say","judged","for members"]') == "[]"
            assert member.receive_text() == '42["message","for members"]'
            member.send_text(f"43{ack_id}[1]")
            assert host.receive_text() == "431[1,0]"
            host.send_text('42["judge"]')
            assert stranger.receive_text().startswith('431[{"error"')
            for client in (member, host, speaker, stranger):
                client.close()


class TestAStolenSid:
    @pytest.mark.parametrize("cookie", [None, "socketio=", "socketio=guessed", "socketi=x"])
    def test_is_of_no_use_in_another_browser(
        self, server: Server, watch: Watch, cookie: str | None
    ) -> None:
        headers = {} if cookie is None else {"Cookie": cookie}
        with watch(server, "stolen sid", f"with the cookie {cookie}", inputs=25 * 4):
            session, _ = bound_session(server)
            before = look(server, "census")["tally"]
            for number in range(25):
                assert attempts(server, session.handshake["sid"], headers) == [403] * 4
                assert ask_over_polling(session, number) == [f"43{number}[{number}]"]
            assert look(server, "census")["tally"] == before
            session.close()

    def test_takes_no_websocket_over(self, server: Server, watch: Watch) -> None:
        with watch(server, "stolen sid", "of a WebSocket", inputs=25 * 4):
            victim = WebSocket(server.address, target("websocket"))
            OPEN.append(victim)
            sid = victim.receive_text().split('"')[3]
            victim.send_text("40")
            victim.receive_text()
            before = look(server, "census")["tally"]
            for number in range(25):
                assert attempts(server, sid, {}) == [400, 400, 400, 101]  # which is closed at once
                assert ask(victim, f'["echo",{number}]') == f"[{number}]"
            assert look(server, "census")["tally"] == before
            victim.close()

    def test_that_is_guessed_finds_no_session(self, server: Server, watch: Watch) -> None:
        sids = ["", "0", "null", "../x", "%00", "a" * 5000, "🙂", "' OR 1=1", "__proto__", "%s"]
        with watch(server, "stolen sid", "guessed", inputs=len(sids) * 4):
            victim = join(server)
            for sid in sids:
                assert attempts(server, sid, {}) == [400] * 4, sid
            assert ask(victim, '["echo",1]') == "[1]"
            victim.close()
