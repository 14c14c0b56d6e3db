"""Handshakes: which are good, with the reference server's checks in its order."""

import pytest

from socketio_server.engine.handshake import verify_handshake
from socketio_server.engine.request import EngineRequest
from socketio_server.options import Options, Transports
from socketio_server.protocol.engineio import ErrorCode

HANDSHAKE = {"EIO": "4", "transport": "polling"}
OPTIONS = Options()
WITH_REVISION_3 = Options(allow_eio3=True)


def request(method: str = "GET", /, **query: str) -> EngineRequest:
    """A request that does not ask to become a WebSocket."""
    return EngineRequest(method, query)


def upgrade(**query: str) -> EngineRequest:
    """A request that asks to become a WebSocket."""
    return EngineRequest("GET", query, is_websocket=True)


class TestWhichHandshakesAreRefused:
    @pytest.mark.parametrize(
        "query",
        [HANDSHAKE, {**HANDSHAKE, "t": "abc123"}, {**HANDSHAKE, "EIO": "4", "b64": "1"}],
    )
    def test_a_good_one_is_not(self, query: dict[str, str]) -> None:
        assert verify_handshake(request(**query), OPTIONS) is None

    def test_a_good_websocket_is_not(self) -> None:
        asked = upgrade(EIO="4", transport="websocket")
        assert verify_handshake(asked, OPTIONS) is None

    @pytest.mark.parametrize(
        ("query", "error"),
        [
            pytest.param({}, ErrorCode.UNKNOWN_TRANSPORT, id="nothing"),
            pytest.param({"EIO": "4"}, ErrorCode.UNKNOWN_TRANSPORT, id="no transport"),
            pytest.param(
                {"EIO": "4", "transport": "flashsocket"},
                ErrorCode.UNKNOWN_TRANSPORT,
                id="unknown transport",
            ),
            pytest.param(
                {"EIO": "4", "transport": ""}, ErrorCode.UNKNOWN_TRANSPORT, id="empty transport"
            ),
            pytest.param(
                {"EIO": "4", "transport": "Polling"}, ErrorCode.UNKNOWN_TRANSPORT, id="capital"
            ),
            pytest.param({**HANDSHAKE, "sid": "x"}, ErrorCode.UNKNOWN_SESSION, id="sid"),
            pytest.param({**HANDSHAKE, "sid": ""}, ErrorCode.UNKNOWN_SESSION, id="empty sid"),
            pytest.param(
                {"transport": "polling"}, ErrorCode.UNSUPPORTED_PROTOCOL_VERSION, id="no EIO"
            ),
            *(
                pytest.param(
                    {**HANDSHAKE, "EIO": version},
                    ErrorCode.UNSUPPORTED_PROTOCOL_VERSION,
                    id=f"EIO={version}",
                )
                for version in ("3", "5", "04", "4.0", "", "four", "٤")
            ),
            pytest.param(
                {"EIO": "4", "transport": "websocket"},
                ErrorCode.BAD_REQUEST,
                id="websocket without an upgrade",
            ),
        ],
    )
    def test_with_the_protocol_s_errors(self, query: dict[str, str], error: ErrorCode) -> None:
        assert verify_handshake(request(**query), OPTIONS) is error

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "PATCH"])
    def test_by_another_method_than_get(self, method: str) -> None:
        error = verify_handshake(request(method, **HANDSHAKE), OPTIONS)
        assert error is ErrorCode.BAD_HANDSHAKE_METHOD

    def test_an_upgrade_that_says_polling(self) -> None:
        asked = upgrade(**HANDSHAKE)
        assert verify_handshake(asked, OPTIONS) is ErrorCode.BAD_REQUEST

    @pytest.mark.parametrize(
        ("transports", "transport"), [(("polling",), "websocket"), (("websocket",), "polling")]
    )
    def test_a_transport_that_is_switched_off(self, transports: Transports, transport: str) -> None:
        error = verify_handshake(
            request(EIO="4", transport=transport), Options(transports=transports)
        )

        assert error is ErrorCode.UNKNOWN_TRANSPORT


class TestRevision3:
    """``socket.io-client`` 2.x and its like, where they are let in."""

    def test_a_handshake_is_good(self) -> None:
        assert verify_handshake(request(EIO="3", transport="polling"), WITH_REVISION_3) is None
        assert verify_handshake(request(**HANDSHAKE), WITH_REVISION_3) is None

    @pytest.mark.parametrize("version", ["2", "5", "", "03"])
    def test_other_revisions_are_still_refused(self, version: str) -> None:
        error = verify_handshake(request(EIO=version, transport="polling"), WITH_REVISION_3)
        assert error is ErrorCode.UNSUPPORTED_PROTOCOL_VERSION
