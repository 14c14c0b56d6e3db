"""Handshakes: verifies requests that open a session, and encodes the packet that opens it.

Implements the section "Handshake" of the Engine.IO protocol, for revision 4 and, if allowed, 3.
"""

from socketio_server.engine.request import EngineRequest
from socketio_server.options import Options
from socketio_server.protocol import engineio, engineio3
from socketio_server.protocol.engineio import ErrorCode

REVISION_3 = engineio3.PROTOCOL_VERSION


def verify_handshake(request: EngineRequest, options: Options) -> ErrorCode | None:
    """Return the error of a request for a new session; ``None`` if it is valid.

    These are the reference server's checks, in its order.
    """
    transport = request.params.get("transport")
    if transport not in options.transports:
        return ErrorCode.UNKNOWN_TRANSPORT
    if "sid" in request.params:
        return ErrorCode.UNKNOWN_SESSION
    if request.method != "GET":
        return ErrorCode.BAD_HANDSHAKE_METHOD
    if not is_supported(request.params.get("EIO"), options):
        return ErrorCode.UNSUPPORTED_PROTOCOL_VERSION
    if request.is_websocket != (transport == "websocket"):
        return ErrorCode.BAD_REQUEST
    return None


def is_supported(version: str | None, options: Options) -> bool:
    """Return whether sessions may speak a version of the protocol.

    :param version: the query parameter ``EIO``.
    """
    if version == str(REVISION_3):
        return options.allow_eio3
    return version == str(engineio.PROTOCOL_VERSION)


def encode_opening(*, sid: str, revision: int, transport: str, options: Options) -> bytes:
    """Encode the packet that opens a session.

    :param revision: the revision of the protocol that the client asked for.
    :param transport: the transport of the handshake.
    """
    can_upgrade = transport == "polling" and "websocket" in options.transports
    upgrades = ["websocket"] if can_upgrade else []
    if revision == REVISION_3:
        return engineio3.encode_open(
            sid=sid,
            upgrades=upgrades,
            ping_interval=options.ping_interval,
            ping_timeout=options.ping_timeout,
        )
    return engineio.encode_open(
        sid=sid,
        upgrades=upgrades,
        ping_interval=options.ping_interval,
        ping_timeout=options.ping_timeout,
        max_payload=options.max_payload,
    )
