"""A session over polling belongs to the browser that made it."""

from collections.abc import Iterator

import pytest

from tests.support.http import Http, Refused, Response
from tests.support.server import Server
from tests.support.types import Connect, StartServer
from tests.support.websocket import WebSocket
from tests.support.wire import Polling, open_probe, target

FORBIDDEN = {"code": 4, "message": "Forbidden"}
STRANGERS: list[dict[str, str]] = [{}, {"Cookie": "socketio-1=guessed"}, {"Cookie": "other=cookie"}]


def handshake(server: Server, headers: dict[str, str] | None = None) -> Response:
    """Return the response to a handshake over polling."""
    with Http(server.address) as http:
        return http.get(target("polling"), headers)


def cookie_of(response: Response) -> dict[str, str]:
    """Return the header that sends the cookie of a response back."""
    return {"Cookie": response.headers["set-cookie"].split(";")[0]}


def session_of(response: Response) -> str:
    """Return the path and query of the requests of the session that a response opened."""
    return target("polling", sid=response.text.split('"')[3])


@pytest.fixture
def browser(server: Server) -> dict[str, str]:
    """The headers of a browser that has been here before."""
    return {"Cookie": f"theme=dark; {cookie_of(handshake(server))['Cookie']}"}


@pytest.fixture
def bound(server: Server, browser: dict[str, str]) -> Iterator[Polling]:
    """Its session."""
    polling = Polling(server.address, headers=browser)
    yield polling
    polling.close()


def request(polling: Polling, method: str, headers: dict[str, str]) -> Response:
    """Return the response to a request of a session."""
    with Http(polling.address) as http:
        return http.request(method, polling.target, "40" if method == "POST" else "", headers)


class TestTheCookie:
    def test_is_set_by_a_handshake_out_of_reach_of_scripts_and_other_sites(
        self, server: Server
    ) -> None:
        pair, *attributes = handshake(server).headers["set-cookie"].split("; ")
        assert pair.startswith("socketio-")
        assert sorted(attributes) == ["HttpOnly", "Path=/socket.io/", "SameSite=Lax"]

    def test_goes_over_tls_only_where_the_handshake_did(self, share_server: StartServer) -> None:
        behind_tls = share_server(
            settings={"SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"]}
        )
        response = handshake(behind_tls, {"X-Forwarded-Proto": "https"})
        assert "; Secure" in response.headers["set-cookie"]
        assert "; Secure" not in handshake(behind_tls).headers["set-cookie"]

    def test_is_another_one_for_each_browser_and_never_the_sid(self, server: Server) -> None:
        one, other = handshake(server), handshake(server)
        assert cookie_of(one) != cookie_of(other)
        assert one.text.split('"')[3] not in cookie_of(one)["Cookie"]

    def test_is_hard_to_guess(self, server: Server) -> None:
        _, _, value = cookie_of(handshake(server))["Cookie"].partition("=")
        assert len(value) * 6 >= 160  # bits, six in each character

    def test_is_kept_by_a_browser_that_has_it(
        self, server: Server, browser: dict[str, str]
    ) -> None:
        assert "set-cookie" not in handshake(server, browser).headers

    def test_is_set_by_nothing_else(self, server: Server, session: Polling) -> None:
        session.send("40")
        assert "set-cookie" not in request(session, "GET", {}).headers
        over_websocket = WebSocket(server.address, target("websocket"))
        assert "set-cookie" not in over_websocket.response.headers
        over_websocket.close()

    def test_has_the_name_that_the_settings_give(self, share_server: StartServer) -> None:
        server = share_server(settings={"SOCKETIO_COOKIE": "browser"})
        own = cookie_of(response := handshake(server))
        assert own["Cookie"].startswith("browser-")
        with Http(server.address) as http:
            assert http.request("POST", session_of(response), "40", own).status == 200
        with Http(server.address) as http:
            assert http.get(session_of(response), {"Cookie": "socketio-1=x"}).status == 403


class TestABoundSession:
    def test_serves_its_browser(self, bound: Polling) -> None:
        bound.send("40")
        assert bound.receive()[0].startswith("40{")

    @pytest.mark.parametrize("stranger", STRANGERS)
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_serves_nobody_else(
        self, bound: Polling, method: str, stranger: dict[str, str]
    ) -> None:
        response = request(bound, method, stranger)
        assert (response.status, response.json) == (403, FORBIDDEN)
        bound.send("40")
        assert bound.receive()[0].startswith("40{")

    def test_serves_no_other_browser(self, server: Server, bound: Polling) -> None:
        for method in ("GET", "POST"):
            assert request(bound, method, cookie_of(handshake(server))).status == 403

    @pytest.mark.parametrize("stranger", STRANGERS)
    def test_is_taken_over_by_no_other_browsers_websocket(
        self, bound: Polling, stranger: dict[str, str]
    ) -> None:
        with pytest.raises(Refused) as refused:
            open_probe(bound, stranger)
        response = refused.value.response
        assert (response.status, response.json) == (403, FORBIDDEN)

    def test_is_upgraded_by_its_own(self, bound: Polling, browser: dict[str, str]) -> None:
        probe = open_probe(bound, browser)
        probe.send_text("2probe")
        assert probe.receive_text() == "3probe"
        probe.close()

    def test_serves_its_browser_whatever_other_cookies_that_has_by_now(
        self, bound: Polling, browser: dict[str, str]
    ) -> None:
        own = browser["Cookie"].split("; ")[1]
        for cookies in (own, f"{own}; a=b", f"a=b; {own}; c=d", f"a=b;{own};c", f" {own} "):
            assert request(bound, "POST", {"Cookie": cookies}).status in (200, 400)


class TestABrowserThatComesForTheFirstTime:
    def test_is_bound_by_the_request_after_the_handshake(self, server: Server) -> None:
        response = handshake(server)
        own = cookie_of(response)
        with Http(server.address) as http:
            assert http.request("POST", session_of(response), "40", own).status == 200
            assert http.get(session_of(response), own).status == 200
        for stranger in STRANGERS:
            with Http(server.address) as http:
                refused = http.request("POST", session_of(response), "41", stranger)
                assert (refused.status, refused.json) == (403, FORBIDDEN)

    def test_may_open_two_tabs_at_once(self, server: Server) -> None:
        one = handshake(server)
        with Http(server.address) as http:
            assert http.request("POST", session_of(one), "40", cookie_of(one)).status == 200
        other = handshake(server)  # its request was under way when the first was answered
        own = {"Cookie": "; ".join(cookie_of(tab)["Cookie"] for tab in (one, other))}
        with Http(server.address) as http:
            assert http.get(session_of(one), own).text.startswith("40{")
            assert http.request("POST", session_of(other), "40", own).status == 200
        assert "set-cookie" not in handshake(server, own).headers

    def test_is_the_only_one_with_its_cookie(self, server: Server) -> None:
        victim, attacker = handshake(server), handshake(server)
        for method in ("GET", "POST"):
            with Http(server.address) as http:
                stolen = http.request(method, session_of(victim), "", cookie_of(attacker))
                assert (stolen.status, stolen.json) == (403, FORBIDDEN)
        with Http(server.address) as http:
            response = http.request("POST", session_of(victim), "40", cookie_of(victim))
            assert response.status == 200

    def test_may_have_two_cookies_of_that_name(self, server: Server) -> None:
        # One of them from an application of the parent domain, say.
        own = {"Cookie": "socketio-1=one; socketio-1=two"}
        response = handshake(server, own)
        with Http(server.address) as http:
            assert http.request("POST", session_of(response), "40", own).status == 200


class TestAClientWithoutCookies:
    def test_is_served_all_the_same(self, connect: Connect) -> None:
        for transport in ("polling", "upgraded"):
            client = connect(transport)
            client.method("send", "hello")
            assert client.next_message() == "hello"

    def test_is_not_bound_later(self, server: Server, session: Polling) -> None:
        session.send("40")
        assert request(session, "POST", {"Cookie": "socketio-1=late"}).status != 403
        assert request(session, "POST", {}).status != 403


class TestWithoutACookie:
    @pytest.fixture
    def trusting(self, share_server: StartServer) -> Server:
        """A server that binds no session."""
        return share_server(settings={"SOCKETIO_COOKIE": None})

    def test_none_is_set(self, trusting: Server) -> None:
        assert "set-cookie" not in handshake(trusting).headers

    def test_whoever_has_the_sid_may_act_for_the_session(self, trusting: Server) -> None:
        response = handshake(trusting, {"Cookie": "socketio-1=own"})
        with Http(trusting.address) as http:
            assert http.request("POST", session_of(response), "40", {}).status == 200
            assert http.get(session_of(response), {"Cookie": "socketio-1=else"}).status == 200
