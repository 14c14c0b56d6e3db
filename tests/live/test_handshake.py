"""The handshake, and kinds of wrong requests of Engine.IO, all of which ``tests.engine`` has."""

import pytest

from tests.support.http import Http, Response
from tests.support.server import Server
from tests.support.types import Connect
from tests.support.websocket import handshake_headers
from tests.support.wire import PATH, target

UNKNOWN_TRANSPORT = (400, {"code": 0, "message": "Transport unknown"})
UNKNOWN_SESSION = (400, {"code": 1, "message": "Session ID unknown"})
BAD_METHOD = (400, {"code": 2, "message": "Bad handshake method"})
BAD_REQUEST = (400, {"code": 3, "message": "Bad request"})


def check_error(response: Response, expected: tuple[int, dict[str, object]]) -> None:
    """Check that a response is an Engine.IO error."""
    assert (response.status, response.json) == expected
    assert response.headers["content-type"] == "application/json"


class TestHandshake:
    def test_over_polling_offers_the_upgrade(self, connect: Connect) -> None:
        handshake = dict(connect("polling", join=False).carrier.handshake)
        assert len(handshake.pop("sid")) >= 27  # 160 bits in base64
        assert handshake == {
            "upgrades": ["websocket"],
            "pingInterval": 25_000,
            "pingTimeout": 20_000,
            "maxPayload": 1_000_000,
        }

    def test_over_websocket_has_nothing_to_upgrade_to(self, connect: Connect) -> None:
        handshake = connect("websocket", join=False).carrier.handshake
        assert handshake["upgrades"] == []
        assert handshake.keys() == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}

    def test_is_a_payload_of_text(self, server: Server) -> None:
        with Http(server.address) as http:
            response = http.get(target("polling"))
        assert response.status == 200
        assert response.headers["content-type"].lower() == "text/plain; charset=utf-8"
        assert "no-store" in response.headers["cache-control"]
        assert response.body.startswith(b'0{"sid":"')


class TestBadHandshakes:
    @pytest.mark.parametrize(
        ("method", "query", "error"),
        [
            ("GET", "EIO=4", UNKNOWN_TRANSPORT),
            ("POST", "EIO=4&transport=polling", BAD_METHOD),
            ("GET", "EIO=4&transport=websocket", BAD_REQUEST),
        ],
    )
    def test_are_answered_with_the_protocols_own_error(
        self, server: Server, method: str, query: str, error: tuple[int, dict[str, object]]
    ) -> None:
        with Http(server.address) as http:
            check_error(http.request(method, f"{PATH}?{query}"), error)

    @pytest.mark.parametrize("version", ["", "EIO=3", "EIO=%D9%A4"])
    def test_of_another_protocol_version_are_refused(self, server: Server, version: str) -> None:
        with Http(server.address) as http:
            response = http.get(f"{PATH}?transport=polling&{version}")
        assert (response.status, response.json["code"]) == (400, 5)
        assert response.json["message"].startswith("Unsupported protocol version")

    def test_with_a_host_that_is_not_allowed_are_refused(self, server: Server) -> None:
        with Http(server.address) as http:
            response = http.get(target("polling"), {"Host": "evil.example"})
        assert response.status in (400, 403)
        assert b"sid" not in response.body


class TestBadRequestsOfASession:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_an_unknown_sid(self, server: Server, method: str) -> None:
        with Http(server.address) as http:
            response = http.request(method, target("polling", sid="nobody"), "40")
        check_error(response, UNKNOWN_SESSION)

    def test_an_unknown_sid_over_websocket(self, server: Server) -> None:
        with Http(server.address) as http:
            response = http.get(target("websocket", sid="nobody"), handshake_headers())
        check_error(response, UNKNOWN_SESSION)

    def test_leave_the_session_alone(self, server: Server, connect: Connect) -> None:
        client = connect("polling")
        sid = client.carrier.handshake["sid"]
        for method, wrong, error in [
            ("GET", target("carrier-pigeon", sid=sid), UNKNOWN_TRANSPORT),
            ("PUT", target("polling", sid=sid), BAD_REQUEST),
            ("GET", target("websocket", sid=sid), BAD_REQUEST),
        ]:
            with Http(server.address) as http:
                check_error(http.request(method, wrong), error)
        assert client.messages() == []

    def test_head_has_no_body(self, server: Server) -> None:
        with Http(server.address) as http:
            http.send_request("HEAD", f"{PATH}?sid=nobody", headers={"Connection": "close"})
            assert http.read_response("HEAD").status == 400
            assert http.read_to_the_end() == b""
