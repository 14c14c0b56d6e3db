"""What other processes are told of a client's handshake."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import RequestFactory

from socketio_server.protocol.cluster_requests import SocketFields
from socketio_server.serving import outside
from socketio_server.serving.around_handshakes.description import TIME_KEY, describe, describer
from socketio_server.sockets.records import read_record

TIME = datetime(2014, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.fixture
def request_() -> Any:
    request = RequestFactory().get(
        "/socket.io/?token=secret",
        headers={"User-Agent": "Firefox", "Cookie": "sessionid=secret", "Authorization": "secret"},
        REMOTE_ADDR="192.0.2.1",
    )
    request.META[TIME_KEY] = TIME.timestamp()
    return request


class TestADescription:
    def test_is_what_nodes_servers_tell(self, request_: Any) -> None:
        told = describe(request_, shares_query=False)
        assert told["headers"] == {"user-agent": "Firefox"}
        assert told["time"] == "Mon Feb 03 2014 04:05:06 GMT+0000"
        assert told["issued"] == 1391400306000
        assert told["address"] == "192.0.2.1"
        assert told["secure"] is told["xdomain"] is False

    def test_holds_no_secret(self, request_: Any) -> None:
        assert "secret" not in repr(describe(request_, shares_query=False))

    def test_has_the_query_if_the_settings_say_so(
        self, request_: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert describer()(request_)["query"] == {}
        monkeypatch.setattr(outside, "read_option", {"share_query": True}.__getitem__)
        told = describer()(request_)
        assert told["query"] == {"token": "secret"}
        assert told["url"] == "/socket.io/?token=secret"

    def test_is_understood(self, request_: Any) -> None:
        told = describe(request_, shares_query=False)
        handshake = read_record(SocketFields(id="x", handshake=told)).handshake
        assert handshake.time == TIME
        assert handshake.address == "192.0.2.1"
        assert handshake.headers == {"user-agent": "Firefox"}
