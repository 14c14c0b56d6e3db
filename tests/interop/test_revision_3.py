"""What only clients of Engine.IO 3 need: ``socket.io-client`` 2.x, and what it does in browsers.

All else that they do, they do in the other modules' tests, like the clients of revision 4.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.interop.clients import REVISION_3_FLAVOURS, REVISION_4_FLAVOURS, WATCHER
from tests.interop.conftest import HANDLERS, SETTINGS, Connect
from tests.support.http import Http, Response
from tests.support.server import Server
from tests.support.types import StartServer
from tests.support.websocket import handshake_headers

IMPATIENT = {**SETTINGS, "SOCKETIO_PING_INTERVAL": 0.2, "SOCKETIO_PING_TIMEOUT": 3.0}
"""The settings of a server that soon notices who falls silent."""


def target(transport: str, **query: str) -> str:
    """Return the path and query of a request."""
    return f"/socket.io/?{urlencode({'EIO': '3', 'transport': transport, **query})}"


@pytest.mark.parametrize("flavour", REVISION_3_FLAVOURS, ids=str)
class TestIds:
    def test_are_other_ones_than_the_secret_that_the_client_shows_as_its_own(
        self, connect: Connect
    ) -> None:
        client = connect(namespaces=["/", "/chat"])
        client.wait_until_connected("/chat")
        own_ids = client.do("ids")
        assert own_ids["/chat"] == f"/chat#{own_ids['/']}"
        assert client.id not in own_ids["/"]
        assert 0 < len(client.id) <= 20
        assert client.ids["/chat"] != client.id


@pytest.mark.parametrize("flavour", REVISION_3_FLAVOURS, ids=str)
class TestRefusals:
    def test_give_the_clients_error_event_the_data(self, open_client: Connect) -> None:
        client = open_client(query={"on_connect": "reject"})
        assert client.wait_for("connect_error") == [{"seats": 0, "names": ["Zoë"]}]
        assert client.count("connect") == 0

    def test_without_data_give_it_the_message(self, open_client: Connect) -> None:
        client = open_client(query={"on_connect": "deny"})
        assert client.wait_for("connect_error") == ["Members only"]

    def test_of_unknown_namespaces_say_so(self, connect: Connect) -> None:
        client = connect(namespaces=["/", "/nowhere"])
        assert client.wait_for("connect_error", "/nowhere") == ["Invalid namespace"]
        assert client.ask("echo", "still here") == ["still here"]

    def test_of_a_handler_of_another_namespace_leave_the_main_one_alone(
        self, connect: Connect
    ) -> None:
        client = connect(namespaces=["/", "/members"])
        assert client.wait_for("connect_error", "/members") == [{"got": None}]
        assert client.ask("echo", "still here") == ["still here"]


@pytest.mark.parametrize("flavour", REVISION_3_FLAVOURS[:1], ids=str)
class TestHeartbeats:
    def test_that_the_client_sends_no_longer_are_a_ping_timeout(
        self, connect: Connect, share_server: StartServer
    ) -> None:
        server = share_server(events=HANDLERS, settings=IMPATIENT)
        silent, steady = connect(url=server.url), connect(url=server.url)
        watcher = connect(WATCHER, url=server.url)
        watcher.subscribe(f"journal-{silent.id}")
        silent.do("silence")
        assert watcher.messages(2) == [["disconnect", "ping timeout"], ["finish", None]]
        assert silent.wait_for("disconnect") == ["transport close"]
        assert steady.ask("echo", "still here") == ["still here"]
        assert steady.count("disconnect") == 0


@pytest.fixture(scope="module")
def unwilling(share_server: StartServer) -> Server:
    """A server as it is by default: for revision 4 only."""
    return share_server(events=HANDLERS)


class TestWhereItIsNotAllowed:
    @pytest.mark.parametrize("flavour", REVISION_3_FLAVOURS, ids=str)
    def test_the_client_does_not_get_in(self, open_client: Connect, unwilling: Server) -> None:
        client = open_client(url=unwilling.url)
        client.wait_for("connect_error")
        assert client.count("connect") == 0

    @pytest.mark.parametrize("flavour", REVISION_4_FLAVOURS, ids=str)
    def test_clients_of_revision_4_do(self, connect: Connect, unwilling: Server) -> None:
        assert connect(url=unwilling.url).ask("echo", "here") == ["here"]

    @pytest.mark.parametrize(
        ("transport", "headers"),
        [("polling", {}), ("websocket", handshake_headers())],
        ids=["polling", "websocket"],
    )
    def test_the_answer_says_what_works(
        self, unwilling: Server, transport: str, headers: Mapping[str, str]
    ) -> None:
        with Http(unwilling.address) as http:
            response = http.get(target(transport), headers)
        assert response.status == 400
        assert response.json == {
            "code": 5,
            "message": (
                "Unsupported protocol version: use socket.io-client 3 or 4, or set "
                "SOCKETIO_ALLOW_EIO3 = True on the server for socket.io-client 2"
            ),
        }


class BrowsersClient:
    """Polls as the client does in a browser, where it sends binary data without base64 (XHR2)."""

    def __init__(self, server: Server) -> None:
        self._http = Http(server.address)
        opening, *self._packets = self._decode(self._http.get(target("polling")))
        self.handshake: dict[str, Any] = json.loads(opening.removeprefix("0"))

    def packets(self, number: int) -> list[str]:
        """Poll until so many packets have come; return them."""
        while len(self._packets) < number:
            self._packets += self._decode(self._http.get(self._target))
        packets, self._packets = self._packets[:number], self._packets[number:]
        return packets

    def post(self, body: bytes) -> bytes:
        """Send a payload with binary data."""
        headers = {"Content-Type": "application/octet-stream"}
        return self._http.request("POST", self._target, body, headers).body

    def close(self) -> None:
        """Go away."""
        self._http.close()

    @property
    def _target(self) -> str:
        return target("polling", sid=self.handshake["sid"])

    def _decode(self, response: Response) -> list[str]:
        """Take a payload of ASCII apart."""
        assert response.headers["content-type"] == "text/plain; charset=UTF-8"
        packets, rest = [], response.text
        while rest:
            length, _, rest = rest.partition(":")
            packets.append(rest[: int(length)])
            rest = rest[int(length) :]
        return packets


def payload_of(text: bytes, attachment: bytes) -> bytes:
    """Return a binary payload.

    Of each packet: 0 for text or 1 for binary, its length as digits that are bytes, 255, itself.
    """
    head, binary = (bytes(map(int, str(size))) for size in (len(text), 1 + len(attachment)))
    return b"\0%b\xff%b\1%b\xff\4%b" % (head, text, binary, attachment)


class TestInBrowsers:
    @pytest.fixture
    def client(self, server: Server) -> Iterator[BrowsersClient]:
        """A client on the wire."""
        client = BrowsersClient(server)
        yield client
        client.close()

    def test_the_handshake_says_what_this_revision_says(self, client: BrowsersClient) -> None:
        assert sorted(client.handshake) == ["pingInterval", "pingTimeout", "sid", "upgrades"]

    def test_the_main_namespace_is_joined_unasked(self, client: BrowsersClient) -> None:
        assert client.packets(1) == ["40"]

    def test_binary_data_needs_no_base64(self, client: BrowsersClient) -> None:
        data = bytes(range(256))
        event = b'451-7["echo",{"_placeholder":true,"num":0},"text"]'
        assert client.packets(1) == ["40"]
        assert client.post(payload_of(event, data)) == b"ok"
        assert client.packets(2) == [
            '461-7[{"_placeholder":true,"num":0},"text"]',
            "b4" + base64.b64encode(data).decode(),
        ]
