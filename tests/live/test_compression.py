"""Answers to polls are compressed for clients that take it."""

import gzip
import json
from typing import Any

import pytest

from tests.support.http import Http, Response
from tests.support.server import Server
from tests.support.types import Connect, StartServer
from tests.support.wire import Polling

THRESHOLD = 1024
"""The default of ``SOCKETIO_COMPRESSION_THRESHOLD``."""

TEXT = "compressible 😀 " * 500


@pytest.fixture
def uncompressed(share_server: StartServer) -> Server:
    """A server that compresses nothing."""
    return share_server(settings={"SOCKETIO_COMPRESSION_THRESHOLD": None})


def packet_of(message: Any) -> str:
    """Return the packet that brings a message to a client."""
    return "42" + json.dumps(["message", message], ensure_ascii=False, separators=(",", ":"))


def poll(connect: Connect, message: Any, *, to: Server | None = None, **headers: str) -> Response:
    """Send a message to a client that polls, and return the answer that brings it."""
    client, sender = connect("polling", to=to), connect(to=to)
    assert isinstance(client.carrier, Polling)
    sender.function("send", client.id, message)
    with Http(client.carrier.address) as http:
        return http.get(
            client.carrier.target, {name.replace("_", "-"): headers[name] for name in headers}
        )


class TestALongAnswer:
    @pytest.mark.parametrize("accepted", ["gzip", "gzip, deflate, br", "br;q=1, gzip;q=0.5", "*"])
    def test_is_compressed_where_the_client_takes_it(self, connect: Connect, accepted: str) -> None:
        response = poll(connect, TEXT, Accept_Encoding=accepted)
        assert response.headers["content-encoding"] == "gzip"
        assert response.headers["content-type"] == "text/plain; charset=UTF-8"
        assert len(response.body) < 500
        assert gzip.decompress(response.body).decode() == packet_of(TEXT)

    @pytest.mark.parametrize(
        "accepted", ["identity", "deflate, br", "gzip;q=0", "gzip; q=0.0, br", "*;q=0", ""]
    )
    def test_is_not_compressed_where_the_client_does_not_take_it(
        self, connect: Connect, accepted: str
    ) -> None:
        response = poll(connect, TEXT, Accept_Encoding=accepted)
        assert "content-encoding" not in response.headers
        assert response.text == packet_of(TEXT)

    def test_is_not_compressed_where_the_client_says_nothing(self, connect: Connect) -> None:
        response = poll(connect, TEXT)
        assert "content-encoding" not in response.headers
        assert response.text == packet_of(TEXT)

    @pytest.mark.parametrize("accepted", ["gzip", "identity"])
    def test_tells_caches_that_it_depends_on_the_client(
        self, connect: Connect, accepted: str
    ) -> None:
        response = poll(connect, TEXT, Accept_Encoding=accepted)
        assert response.headers["vary"] == "Accept-Encoding"

    def test_leaves_the_connection_open_for_the_next_request(self, connect: Connect) -> None:
        client, sender = connect("polling"), connect()
        assert isinstance(client.carrier, Polling)
        with Http(client.carrier.address) as http:
            for number in range(3):
                sender.function("send", client.id, [number, TEXT])
                response = http.get(client.carrier.target, {"Accept-Encoding": "gzip"})
                assert gzip.decompress(response.body).decode() == packet_of([number, TEXT])


class TestTheThreshold:
    EMPTY = len(packet_of(""))

    def test_is_where_compression_begins(self, connect: Connect) -> None:
        text = "x" * (THRESHOLD - self.EMPTY)
        response = poll(connect, text, Accept_Encoding="gzip")
        assert gzip.decompress(response.body).decode() == packet_of(text)

    def test_leaves_shorter_answers_as_they_are(self, connect: Connect) -> None:
        text = "x" * (THRESHOLD - self.EMPTY - 1)
        response = poll(connect, text, Accept_Encoding="gzip")
        assert "content-encoding" not in response.headers
        assert "vary" not in response.headers
        assert response.text == packet_of(text)

    def test_is_a_setting(self, connect: Connect, share_server: StartServer) -> None:
        server = share_server(settings={"SOCKETIO_COMPRESSION_THRESHOLD": 10})
        response = poll(connect, "x" * 10, to=server, Accept_Encoding="gzip")
        assert gzip.decompress(response.body).decode() == packet_of("x" * 10)

    def test_may_be_none_so_that_nothing_is_compressed(
        self, connect: Connect, uncompressed: Server
    ) -> None:
        response = poll(connect, TEXT, to=uncompressed, Accept_Encoding="gzip")
        assert "content-encoding" not in response.headers
        assert "vary" not in response.headers
        assert response.text == packet_of(TEXT)
