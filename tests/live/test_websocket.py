"""WebSockets: the handshake and the frames (RFC 6455; security, rule 7)."""

import base64
import hashlib
import os

import pytest

from tests.support.client import Client
from tests.support.http import Http, Refused, Response
from tests.support.server import Server
from tests.support.types import Connect
from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    TEXT,
    Frame,
    WebSocket,
    frame,
    frame_head,
    handshake_headers,
)
from tests.support.wire import OverWebSocket, target

WEBSOCKET = target("websocket")
MASK = b"mask"


def refusal(server: Server, method: str = "GET", **headers: str | None) -> Response:
    """Return the response to a handshake with some headers changed."""
    with Http(server.address) as http:
        return http.request(method, WEBSOCKET, headers=handshake_headers(**headers))


@pytest.fixture
def client(connect: Connect) -> Client:
    """A client over WebSocket."""
    return connect("websocket")


@pytest.fixture
def raw(client: Client) -> WebSocket:
    """Its WebSocket."""
    assert isinstance(client.carrier, OverWebSocket)
    return client.carrier.websocket


class TestHandshake:
    def test_is_answered_as_the_standard_wants(self, server: Server) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        with Http(server.address) as http:
            response = http.get(WEBSOCKET, handshake_headers(sec_websocket_key=key))
        magic = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(magic.encode()).digest()).decode()
        assert response.status == 101
        assert response.headers["sec-websocket-accept"] == accept
        assert response.headers["upgrade"].lower() == "websocket"
        assert response.headers["connection"].lower() == "upgrade"
        assert "content-length" not in response.headers
        assert "sec-websocket-extensions" not in response.headers

    def test_header_values_are_compared_whatever_their_case(self, server: Server) -> None:
        headers = {"upgrade": "WebSocket", "connection": "keep-alive, UPGRADE"}
        assert refusal(server, **headers).status == 101

    @pytest.mark.parametrize(
        "key",
        [None, "", "short", "=" * 24, "é" * 12, "A" * 22 + "=", "AAAAAAAAAAAAAAAAAAAAAAAA" * 2],
    )
    def test_a_bad_key_is_a_400(self, server: Server, key: str | None) -> None:
        response = refusal(server, sec_websocket_key=key)
        assert (response.status, response.json["code"]) == (400, 3)

    @pytest.mark.parametrize("version", [None, "", "12", "8", "14", "thirteen", "\u0661\u0663"])
    def test_a_bad_version_is_a_400_that_names_the_right_one(
        self, server: Server, version: str | None
    ) -> None:
        response = refusal(server, sec_websocket_version=version)
        assert (response.status, response.json["code"]) == (400, 3)
        assert response.headers["sec-websocket-version"] == "13"

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_another_method_than_get_is_a_400(self, server: Server, method: str) -> None:
        assert refusal(server, method).status == 400

    @pytest.mark.parametrize("header", [{"upgrade": "h2c"}, {"connection": "keep-alive"}])
    def test_a_request_that_asks_for_no_websocket_is_a_400(
        self, server: Server, header: dict[str, str]
    ) -> None:
        response = refusal(server, **header)
        assert (response.status, response.json["code"]) == (400, 3)

    def test_http_1_0_is_a_400(self, server: Server) -> None:
        with Http(server.address) as http:
            http.send_request("GET", WEBSOCKET, headers=handshake_headers(), version="1.0")
            assert http.read_response().status == 400

    def test_a_body_is_a_400(self, server: Server) -> None:
        with Http(server.address) as http:
            assert http.request("GET", WEBSOCKET, "body", handshake_headers()).status == 400

    def test_loses_nothing_that_came_behind_it_in_one_go(self, server: Server) -> None:
        frames = frame(TEXT, "40") + frame(TEXT, '421["message",{"do":"nothing"}]')
        carried = WebSocket(server.address, WEBSOCKET, behind=frames)
        received = [carried.receive_text() for _ in range(3)]
        assert received[0].startswith('0{"sid"')
        assert received[1].startswith('40{"sid"')
        assert received[2] == '431["nothing"]'
        carried.close()


class TestFrames:
    def test_a_message_of_maxpayload_bytes_is_taken(self, client: Client) -> None:
        room = client.carrier.handshake["maxPayload"] - len('421["message", {"do": "x", "y": ""}]')
        assert client.ask("message", {"do": "x", "y": "y" * room}) == []

    def test_are_binary_even_for_a_client_that_asks_for_base64(self, connect: Connect) -> None:
        """``b64`` is no parameter of this revision, and the client reads them all the same."""
        client = connect("websocket", query={"b64": "1"})
        assert isinstance(client.carrier, OverWebSocket)
        raw = client.carrier.websocket
        placeholder = '{"_placeholder":true,"num":0}'
        raw.send_text(f'451-["message",{{"do":"method","name":"send","args":[{placeholder}]}}]')
        raw.send(frame(BINARY, b"\x01"))

        assert raw.receive_text() == f'451-["message",{placeholder}]'
        assert raw.receive() == Frame(BINARY, b"\x01")

    def test_what_follows_a_close_is_ignored(self, server: Server, client: Client) -> None:
        assert isinstance(client.carrier, OverWebSocket)
        client.carrier.websocket.send(frame(CLOSE) + frame(TEXT, '42["message","late"]'))
        server.journal.wait_for("on_finish", client.id)
        assert "on_message" not in server.journal.events(client.id)


class TestBadFrames:
    @pytest.mark.parametrize(
        ("data", "code"),
        [
            pytest.param(frame(TEXT, "2", masked=False), 1002, id="unmasked"),
            pytest.param(frame(TEXT, b"4\xff"), 1007, id="not UTF-8"),
            pytest.param(frame(TEXT, b"4\xc3", fin=False) + frame(CONTINUATION), 1007, id="half"),
            pytest.param(frame_head(0x81, 1_000_001) + MASK, 1009, id="too long by its header"),
            pytest.param(
                frame(TEXT, "4", fin=False) + frame(CONTINUATION, "", fin=False) * 1024,
                1009,
                id="too many fragments",
            ),
        ],
    )
    def test_close_the_connection_with_their_code_and_nobody_else_notices(
        self, server: Server, connect: Connect, data: bytes, code: int
    ) -> None:
        other, client = connect("websocket"), connect("websocket")
        assert isinstance(client.carrier, OverWebSocket)
        client.carrier.websocket.send(data)
        assert client.carrier.websocket.wait_for_close().code == code
        last = server.journal.wait_for("on_finish", client.id)[-1]
        assert last.details["close_reason"] == "parse error"
        assert other.messages() == []

    @pytest.mark.parametrize("size", [1_000_001, 20_000_000])
    def test_close_the_connection_though_the_client_still_sends(
        self, raw: WebSocket, size: int
    ) -> None:
        """Sections 7.1.1 and 7.1.7: a reset could take the close frame from the client."""
        raw.send(frame_head(0x81, size) + MASK + b"x" * size)
        assert raw.wait_for_close().code == 1009

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    def test_close_the_connection_after_all_that_came_before(
        self, server: Server, client: Client, raw: WebSocket, opcode: int
    ) -> None:
        raw.send(frame(TEXT, '42["message","before"]') + frame(opcode, "2", reserved=7))
        server.journal.wait_for("on_finish", client.id)
        assert server.journal.events(client.id, "bare") == [
            "on_connect",
            "on_message",
            "on_disconnect",
            "on_finish",
        ]

    def test_never_get_an_answer_in_http(self, server: Server) -> None:
        carried = WebSocket(server.address, WEBSOCKET, behind=b"GET / HTTP/1.1\r\n\r\n")
        carried.receive_text()
        assert carried.wait_for_close().code == 1002


class TestRefused:
    def test_is_an_http_status_and_not_a_websocket_that_closes(self, server: Server) -> None:
        with pytest.raises(Refused):
            WebSocket(server.address, "/socket.io/?EIO=3&transport=websocket")
