"""Who may talk to the server: the browser's ``Origin``."""

import pytest

from tests.support.http import Http, Refused
from tests.support.server import Server
from tests.support.types import Connect, StartServer
from tests.support.websocket import WebSocket
from tests.support.wire import Polling, open_probe, target

FORBIDDEN = {"code": 4, "message": "Forbidden"}
FOREIGN = ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1", "", "nonsense"]
LISTED = "https://pages.example"


@pytest.fixture
def with_list(share_server: StartServer) -> Server:
    """A server that allows another origin."""
    return share_server(settings={"SOCKETIO_ALLOWED_ORIGINS": [LISTED]})


def own_origin(server: Server) -> str:
    """The origin of a page that the server served itself."""
    return server.url.rstrip("/")


@pytest.mark.parametrize("origin", FOREIGN)
class TestAForeignPage:
    def test_gets_no_session_over_polling(self, server: Server, origin: str) -> None:
        with Http(server.address) as http:
            response = http.get(target("polling"), {"Origin": origin})
        assert (response.status, response.json) == (403, FORBIDDEN)
        assert "access-control-allow-origin" not in response.headers

    def test_gets_no_session_over_websocket(self, server: Server, origin: str) -> None:
        with pytest.raises(Refused) as refused:
            WebSocket(server.address, target("websocket"), {"Origin": origin})
        response = refused.value.response
        assert (response.status, response.json) == (403, FORBIDDEN)

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_gets_nothing_of_a_session(self, session: Polling, method: str, origin: str) -> None:
        with Http(session.address) as http:
            response = http.request(method, session.target, "", {"Origin": origin})
        assert (response.status, response.json) == (403, FORBIDDEN)

    def test_can_not_take_over_a_session(self, session: Polling, origin: str) -> None:
        with pytest.raises(Refused) as refused:
            open_probe(session, {"Origin": origin})
        assert refused.value.response.status == 403


class TestOwnPages:
    def test_get_sessions(self, server: Server, connect: Connect) -> None:
        headers = {"Origin": own_origin(server)}
        for transport in ("polling", "websocket", "upgraded"):
            assert connect(transport, headers=headers).messages() == []

    def test_are_told_that_they_may_read_the_answer(self, server: Server) -> None:
        with Http(server.address) as http:
            response = http.get(target("polling"), {"Origin": own_origin(server)})
        assert response.headers["access-control-allow-origin"] == own_origin(server)


class TestListedOrigins:
    def test_get_sessions(self, with_list: Server, connect: Connect) -> None:
        for transport in ("polling", "websocket", "upgraded"):
            client = connect(transport, to=with_list, headers={"Origin": LISTED})
            assert client.messages() == []

    def test_are_told_so_with_every_answer(self, with_list: Server) -> None:
        with Http(with_list.address) as http:
            handshake = http.get(target("polling"), {"Origin": LISTED})
            session = target("polling", sid=handshake.text.split('"')[3])
            responses = [
                handshake,
                http.request("POST", session, "40", {"Origin": LISTED}),
                http.get(session, {"Origin": LISTED}),
                http.get(target("carrier-pigeon"), {"Origin": LISTED}),
            ]
        for response in responses:
            assert response.headers["access-control-allow-origin"] == LISTED
            assert response.headers["access-control-allow-credentials"] == "true"
            assert "Origin" in response.headers["vary"]

    @pytest.mark.parametrize("sid", [{}, {"sid": "any"}])
    def test_are_answered_when_they_ask_before(
        self, with_list: Server, sid: dict[str, str]
    ) -> None:
        with Http(with_list.address) as http:
            headers = {
                "Origin": LISTED,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
            }
            response = http.request("OPTIONS", target("polling", **sid), headers=headers)
        assert response.status in (200, 204)
        assert response.headers["access-control-allow-origin"] == LISTED
        assert "POST" in response.headers["access-control-allow-methods"]
        assert "content-type" in response.headers["access-control-allow-headers"].lower()

    def test_leave_all_other_origins_foreign(self, with_list: Server) -> None:
        for origin in ("http://pages.example", "https://pages.example:1", "https://evil.example"):
            with Http(with_list.address) as http:
                assert http.get(target("polling"), {"Origin": origin}).status == 403

    def test_own_pages_are_allowed_all_the_same(self, with_list: Server) -> None:
        with Http(with_list.address) as http:
            response = http.get(target("polling"), {"Origin": own_origin(with_list)})
        assert response.status == 200


class TestAnyOrigin:
    def test_gets_a_session_but_no_credentials(self, share_server: StartServer) -> None:
        server = share_server(settings={"SOCKETIO_ALLOWED_ORIGINS": ["*"]})
        with Http(server.address) as http:
            response = http.get(target("polling"), {"Origin": "http://anyone.example"})
        assert response.status == 200
        assert response.headers["access-control-allow-origin"] in ("*", "http://anyone.example")
        assert "access-control-allow-credentials" not in response.headers
