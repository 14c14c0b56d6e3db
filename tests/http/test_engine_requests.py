"""The engine's requests, made of WSGI's."""

from typing import Any, ClassVar
from urllib.parse import parse_qsl

import pytest

from socketio_server.engine.request import EngineRequest
from socketio_server.http.engine_requests import (
    MAX_PARAMETERS,
    PATH_KEY,
    engine_request_of,
    is_websocket,
    parse_query,
)


class TestEngineRequests:
    ENVIRON: ClassVar = {
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "EIO=4&transport=websocket",
        "REMOTE_ADDR": "192.0.2.1",
        "PATH_INFO": "/what/the/application/sees/",
        PATH_KEY: "/sub/socket.io/",
        "HTTP_HOST": "example.com",
        "HTTP_ORIGIN": "https://example.com",
        "HTTP_COOKIE": "a=b",
        "HTTP_UPGRADE": "websocket",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_SEC_FETCH_SITE": "cross-site",
    }

    def test_one_has_what_the_engine_looks_at(self) -> None:
        assert engine_request_of(self.ENVIRON) == EngineRequest(
            method="GET",
            params={"EIO": "4", "transport": "websocket"},
            address="192.0.2.1",
            path="/sub/socket.io/",
            host="example.com",
            origin="https://example.com",
            cookie="a=b",
            is_websocket=True,
            is_cross_site=True,
        )

    @pytest.mark.parametrize("site", ["same-origin", "same-site", "none", ""])
    def test_only_pages_of_other_sites_are_such(self, site: str) -> None:
        assert not engine_request_of(self.ENVIRON | {"HTTP_SEC_FETCH_SITE": site}).is_cross_site

    def test_headers_that_are_missing_are_empty_and_a_missing_origin_is_none(self) -> None:
        environ: dict[str, Any] = {"REQUEST_METHOD": "POST"}
        expected = EngineRequest(method="POST", params={"": ""}, origin=None)

        assert engine_request_of(environ) == expected


class TestIsWebSocket:
    """RFC 6455 section 4.2.1."""

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}, True),
            ({"HTTP_UPGRADE": "WebSocket", "HTTP_CONNECTION": "keep-alive, UPGRADE"}, True),
            ({}, False),
            ({"HTTP_UPGRADE": "websocket"}, False),
            ({"HTTP_CONNECTION": "Upgrade"}, False),
            ({"HTTP_UPGRADE": "h2c", "HTTP_CONNECTION": "Upgrade"}, False),
        ],
    )
    def test_both_headers_must_say_so(self, headers: dict[str, str], expected: bool) -> None:
        assert is_websocket(headers) is expected


class TestQueries:
    @pytest.mark.parametrize(
        "query",
        [
            "EIO=4&transport=polling&sid=abc",
            "EIO=4&transport=polling&t=abc.0",
            "sid=a%20b&x=1+2",
            "sid=&t",
            "a=1&a=2",
            "a=b=c",
        ],
    )
    def test_are_what_the_standard_library_makes_of_them(self, query: str) -> None:
        assert parse_query(query) == dict(parse_qsl(query, keep_blank_values=True))

    @pytest.mark.parametrize("value", ["1", "%31"])
    def test_have_so_many_parameters(self, value: str) -> None:
        """To read thousands takes long; clients add those that count at the end."""
        pairs = [f"{number}={value}" for number in range(MAX_PARAMETERS + 1)]
        assert list(parse_query("&".join(pairs[1:])).items()) == [
            (str(number), "1") for number in range(1, MAX_PARAMETERS + 1)
        ]
        assert parse_query("&".join(pairs)) == parse_query("&".join(pairs[1:]))
