"""WebSocket handshakes over HTTP."""

from typing import Any

import pytest

from socketio_server.http.upgrade import is_well_formed, switch_protocols
from socketio_server.net.connection import Connection
from socketio_server.protocol.http1.requests import Head, parse_head
from tests.fakes.net import socket_pair
from tests.fakes.websocket import WebSocketPeer
from tests.http.site import UPGRADE, Peer, Site, head, note_paths, request
from tests.support.websocket import frame

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def handshake(
    *lines: str, method: str = "GET", version: str = "1.1", key: str = KEY, revision: str = "13"
) -> Head:
    """Return the head of a WebSocket handshake."""
    keys = (f"Sec-WebSocket-Key: {key}", f"Sec-WebSocket-Version: {revision}")
    return parse_head(request(method, "/", None, *UPGRADE[:2], *keys, *lines, version=version))


class FakeExchange:
    """The exchange whose connection becomes a WebSocket (``Upgradable``)."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.answer = b""

    def switch(self, answer: bytes) -> tuple[Connection, bytes]:
        self.answer = answer
        connection: Any = None
        return connection, b""


class TestIsWellFormed:
    def test_says_so_of_one_that_is(self) -> None:
        assert is_well_formed(handshake())

    @pytest.mark.parametrize(
        "head",
        [
            pytest.param(handshake(method="POST"), id="method"),
            pytest.param(handshake(version="1.0"), id="HTTP version"),
            pytest.param(handshake(key="c2hvcnQ="), id="short key"),
            pytest.param(handshake(key="no base64"), id="key that is no base64"),
            pytest.param(handshake(revision="8"), id="WebSocket version"),
            pytest.param(handshake("Content-Length: 1"), id="body"),
        ],
    )
    def test_says_so_of_none_that_is_not(self, head: Head) -> None:
        assert not is_well_formed(head)


class TestSwitchProtocols:
    DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"

    def test_keeps_the_application_s_headers_but_those_of_its_body(self) -> None:
        exchange = FakeExchange(handshake())
        headers = [("Set-Cookie", "a=b"), ("Content-Type", "text/html"), ("Content-Length", "5")]
        switch_protocols(exchange, may_deflate=False, headers=headers)

        assert b"\r\nSet-Cookie: a=b\r\n" in exchange.answer
        assert b"Content-" not in exchange.answer

    @pytest.mark.parametrize(
        ("lines", "may_deflate", "agreed"),
        [([DEFLATE], True, True), ([DEFLATE], False, False), ([], True, False)],
    )
    def test_agrees_on_compression_where_both_want_it(
        self, lines: list[str], may_deflate: bool, agreed: bool
    ) -> None:
        exchange = FakeExchange(handshake(*lines))
        switch_protocols(exchange, may_deflate=may_deflate)

        assert (b"\r\nSec-WebSocket-Extensions: permessage-deflate" in exchange.answer) is agreed


class TestWebSockets:
    @pytest.fixture
    def upgrade(self, target: str) -> bytes:
        return head("GET", target.replace("polling", "websocket"), *UPGRADE)

    def become_websocket(self, peer: Peer) -> WebSocketPeer:
        """Read the answer to the handshake."""
        peer.sock.setblocking(True)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += peer.sock.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
        return WebSocketPeer(peer.sock)

    def test_may_take_over_a_session(self, site: Site, peer: Peer, upgrade: bytes) -> None:
        peer.send(upgrade)
        websocket = self.become_websocket(peer)
        websocket.send("2probe")
        site.run()
        assert websocket.received() == ["3probe"]

        websocket.send("5", "4hello")
        site.run()
        assert site.handlers[0].messages == ["hello"]
        assert site.stats.refusals.counts == {}
        websocket.close()
        site.run()

    def test_are_read_before_requests_that_came_at_the_same_moment(
        self, site: Site, peer: Peer, target: str, upgrade: bytes
    ) -> None:
        with socket_pair() as (ours, theirs):
            other = Peer(site, ours, theirs)
            peer.send(upgrade)
            websocket = self.become_websocket(peer)
            websocket.send("2probe", "5")
            other.send(request("GET", target))

            assert other.answer().status == 400
            assert site.sessions[0].transport.name == "websocket"
            websocket.close()
            other.connection.abort()
            site.run()

    def test_may_send_before_they_are_answered(
        self, site: Site, peer: Peer, upgrade: bytes
    ) -> None:
        frames = frame(1, b"2probe") + frame(1, b"5") + frame(1, b"4hello")
        peer.send(upgrade + frames)
        websocket = self.become_websocket(peer)

        assert websocket.received() == ["3probe"]
        assert site.handlers[0].messages == ["hello"]
        websocket.close()
        site.run()

    @pytest.mark.parametrize(
        ("offered", "agreed"), [("p1", "p1"), ("p1, p2", "p1"), ("p2 ,p1", "p2")]
    )
    def test_get_the_first_subprotocol_that_they_offer(
        self, site: Site, peer: Peer, upgrade: bytes, offered: str, agreed: str
    ) -> None:
        line = f"Sec-WebSocket-Protocol: {offered}\r\n\r\n".encode()
        peer.send(upgrade.removesuffix(b"\r\n") + line)

        answer = peer.answer()
        assert (answer.status, answer.headers["sec-websocket-protocol"]) == (101, agreed)
        WebSocketPeer(peer.sock).close()
        site.run()

    def test_that_offer_none_get_none(self, site: Site, peer: Peer, upgrade: bytes) -> None:
        peer.send(upgrade)

        answer = peer.answer()
        assert answer.status == 101
        assert "sec-websocket-protocol" not in answer.headers
        WebSocketPeer(peer.sock).close()
        site.run()

    def test_of_clients_that_have_gone_by_then_end(
        self, site: Site, peer: Peer, upgrade: bytes
    ) -> None:
        peer.sock.sendall(upgrade)
        peer.end()

        assert peer.connection.closed
        assert site.sessions[0].can_upgrade

    def test_have_no_deadlines_of_http(self, site: Site, peer: Peer, upgrade: bytes) -> None:
        peer.send(upgrade)
        assert site.has_no_deadlines()
        self.become_websocket(peer).close()
        site.run()

    def test_for_a_session_that_there_is_not_are_the_application_s(
        self, peer: Peer, upgrade: bytes
    ) -> None:
        peer.send(upgrade.replace(b"&sid=", b"&sid=un"))

        assert peer.answer().body == b"GET /socket.io/ "

    def test_without_a_session_are_not_the_application_s_business_if_they_are_malformed(
        self, site: Site, peer: Peer
    ) -> None:
        asked: list[str] = []
        site.application = note_paths(asked)
        peer.send(head("GET", "/a", *UPGRADE[:-1]))
        answer = peer.answer()

        assert answer.status == 400
        assert answer.headers["sec-websocket-version"] == "13"
        assert asked == []
        assert peer.is_cut

    @pytest.mark.parametrize(
        ("old", "new", "status"),
        [(b"13", b"12", 400), (b"\r\n\r\n", b"\r\nOrigin: http://evil.test\r\n\r\n", 403)],
        ids=["malformed", "origin"],
    )
    def test_that_are_refused_are_told_so(
        self, site: Site, peer: Peer, upgrade: bytes, old: bytes, new: bytes, status: int
    ) -> None:
        peer.send(upgrade.replace(old, new))
        answer = peer.answer()

        assert answer.status == status
        assert answer.headers["sec-websocket-version"] == "13"
        assert peer.is_cut
        assert site.sessions[0].can_upgrade
