"""The package's exceptions, sorted by whose fault they are.

Faults of the caller (``EventError``, ``NoSocket``), of a handler's decision (``Reject``) and of
the peer (``DecodeError``, ``ProtocolError``). A peer's fault never carries our internals: what it
says may be logged, and only codes go back over the wire.
"""

from typing import Any


class SocketIOError(Exception):
    """Base of every exception that this package raises."""


class EventError(SocketIOError):
    """Raised when a handler can't be registered as asked (django-socketio's name)."""


class NoSocket(SocketIOError):
    """Raised when nobody is there to get a message (django-socketio's name)."""


class NoServer(NoSocket):
    """Raised when no server runs in this process, so that nobody can be there."""


class Reject(SocketIOError):
    """Raised by an ``on_connect`` or ``on_subscribe`` handler to refuse the client.

    :param message: what the client is told, as ``error.message`` of its ``connect_error`` event or
        as ``error`` of the subscription's acknowledgement.
    :param data: anything that JSON carries; the client sees it as ``error.data``.
    """

    def __init__(self, message: str = "rejected", data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class ValidationError(SocketIOError, ValueError):
    """Raised when a message does not fit the type that its handler's annotation names."""


class DecodeError(SocketIOError, ValueError):
    """Raised when a peer's Engine.IO or Socket.IO packet is malformed or over a limit."""


class ProtocolError(SocketIOError, ValueError):
    """Raised when a peer breaks the WebSocket protocol.

    :param code: the close code to answer with (RFC 6455 section 7.4.1).
    :param reason: what was wrong, for the log and the close frame; never more than 123 bytes.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} (close code {code})")
        self.code = code
        self.reason = reason
