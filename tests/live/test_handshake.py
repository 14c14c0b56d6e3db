"""The handshake, and every way to get a request wrong (Engine.IO protocol)."""

import pytest

from tests.support.http import Http, Response
from tests.support.server import Server
from tests.support.types import Connect, StartServer
from tests.support.websocket import handshake_headers
from tests.support.wire import PATH, Polling, TransportName, target

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

    def test_has_the_settings_numbers(self, impatient: Server, connect: Connect) -> None:
        handshake = connect("polling", to=impatient, join=False).carrier.handshake
        assert (handshake["pingInterval"], handshake["pingTimeout"]) == (200, 1000)

    def test_gives_sids_that_are_all_different(self, connect: Connect) -> None:
        sids = {connect("polling", join=False).carrier.handshake["sid"] for _ in range(20)}
        assert len(sids) == 20


class TestBadHandshakes:
    @pytest.mark.parametrize(
        ("method", "query", "error"),
        [
            ("GET", "EIO=4", UNKNOWN_TRANSPORT),
            ("GET", "EIO=4&transport=", UNKNOWN_TRANSPORT),
            ("GET", "EIO=4&transport=carrier-pigeon", UNKNOWN_TRANSPORT),
            ("GET", "EIO=4&transport=POLLING", UNKNOWN_TRANSPORT),
            ("GET", "", UNKNOWN_TRANSPORT),
            ("POST", "EIO=4&transport=polling", BAD_METHOD),
            ("PUT", "EIO=4&transport=polling", BAD_METHOD),
            ("DELETE", "EIO=4&transport=polling", BAD_METHOD),
            ("GET", "EIO=4&transport=websocket", BAD_REQUEST),
        ],
    )
    def test_are_answered_with_the_protocols_own_error(
        self, server: Server, method: str, query: str, error: tuple[int, dict[str, object]]
    ) -> None:
        with Http(server.address) as http:
            check_error(http.request(method, f"{PATH}?{query}"), error)

    @pytest.mark.parametrize(
        "version", ["", "EIO=", "EIO=2", "EIO=3", "EIO=5", "EIO=four", "EIO=%D9%A4", "EIO=04"]
    )
    def test_of_another_protocol_version_are_refused(self, server: Server, version: str) -> None:
        with Http(server.address) as http:
            response = http.get(f"{PATH}?transport=polling&{version}")
        assert (response.status, response.json["code"]) == (400, 5)
        assert response.json["message"].startswith("Unsupported protocol version")

    def test_over_websocket_with_polling_as_transport_are_refused(self, server: Server) -> None:
        with Http(server.address) as http:
            check_error(http.get(target("polling"), handshake_headers()), BAD_REQUEST)

    def test_with_a_transport_that_is_turned_off_are_refused(
        self, share_server: StartServer
    ) -> None:
        server = share_server(settings={"SOCKETIO_TRANSPORTS": ["websocket"]})
        with Http(server.address) as http:
            check_error(http.get(target("polling")), UNKNOWN_TRANSPORT)

    def test_with_a_host_that_is_not_allowed_are_refused(self, server: Server) -> None:
        with Http(server.address) as http:
            response = http.get(target("polling"), {"Host": "evil.example"})
        assert response.status in (400, 403)
        assert b"sid" not in response.body


class TestBadRequestsOfASession:
    @pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
    @pytest.mark.parametrize("transport", ["polling", "websocket"])
    def test_an_unknown_sid(self, server: Server, method: str, transport: TransportName) -> None:
        with Http(server.address) as http:
            response = http.request(method, target(transport, sid="nobody"), "40")
        check_error(response, UNKNOWN_SESSION)

    def test_an_unknown_sid_over_websocket(self, server: Server) -> None:
        with Http(server.address) as http:
            response = http.get(target("websocket", sid="nobody"), handshake_headers())
        check_error(response, UNKNOWN_SESSION)

    @pytest.mark.parametrize("transport", ["", "carrier-pigeon"])
    def test_an_unknown_transport(self, session: Polling, transport: str) -> None:
        with Http(session.address) as http:
            response = http.get(target(transport, sid=session.handshake["sid"]))
        check_error(response, UNKNOWN_TRANSPORT)

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
    def test_a_method_that_is_none_of_its_own(self, session: Polling, method: str) -> None:
        with Http(session.address) as http:
            check_error(http.request(method, session.target, "40"), BAD_REQUEST)

    def test_the_other_transport_without_an_upgrade(self, session: Polling) -> None:
        with Http(session.address) as http:
            response = http.get(target("websocket", sid=session.handshake["sid"]))
        check_error(response, BAD_REQUEST)

    def test_polling_in_a_session_over_websocket(self, connect: Connect, server: Server) -> None:
        client = connect("websocket")
        with Http(server.address) as http:
            sid = client.carrier.handshake["sid"]
            check_error(http.get(target("polling", sid=sid)), BAD_REQUEST)
        assert client.messages() == []

    def test_leave_the_session_alone(self, server: Server, connect: Connect) -> None:
        client = connect("polling")
        sid = client.carrier.handshake["sid"]
        for method, wrong in [
            ("GET", target("carrier-pigeon", sid=sid)),
            ("PUT", target("polling", sid=sid)),
            ("GET", target("websocket", sid=sid)),
        ]:
            with Http(server.address) as http:
                assert http.request(method, wrong).status == 400
        assert client.messages() == []

    @pytest.mark.parametrize("query", ["EIO=4&transport=polling", "EIO=4", "sid=nobody"])
    def test_head_has_no_body(self, server: Server, query: str) -> None:
        with Http(server.address) as http:
            http.send_request("HEAD", f"{PATH}?{query}", headers={"Connection": "close"})
            assert http.read_response("HEAD").status == 400
            assert http.read_to_the_end() == b""
