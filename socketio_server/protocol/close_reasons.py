"""Why sessions end: the reasons that handlers and clients get.

To add a reason, add it here and to ``docs/reference/errors.md``.
"""

from enum import StrEnum


class CloseReason(StrEnum):
    """Why a session or one of its namespaces ended, in the reference server's words."""

    TRANSPORT_ERROR = "transport error"
    TRANSPORT_CLOSE = "transport close"
    FORCED_CLOSE = "forced close"
    PING_TIMEOUT = "ping timeout"
    PARSE_ERROR = "parse error"
    SERVER_SHUTTING_DOWN = "server shutting down"
    FORCED_SERVER_CLOSE = "forced server close"
    AUTHORIZATION_REVOKED = "authorization revoked"
    SESSION_REPLACED = "session replaced"
    CLIENT_NAMESPACE_DISCONNECT = "client namespace disconnect"
    SERVER_NAMESPACE_DISCONNECT = "server namespace disconnect"
