"""The package's exceptions, sorted by fault.

``EventError`` and ``NoSocket`` are faults of the caller, ``BrokerUnavailable`` is a fault of the
network, ``Reject`` is a handler's decision, ``ValidationError`` a client's message of the wrong
type, and ``DecodeError`` and ``ProtocolError`` are faults of the peer. Their texts are for the log;
a peer gets a code, and a ``ProtocolError``'s reason.
"""

from typing import Any


class SocketIOError(Exception):
    """Base of every exception that this package raises."""


class EventError(SocketIOError):
    """Raised when a handler can't be registered as asked (django-socketio's name)."""


class NoSocket(SocketIOError):
    """Raised when there is no client to send a message to (django-socketio's name)."""


class NoServer(NoSocket):
    """Raised when no server runs in this process, so that nobody can be there."""


class BrokerUnavailable(SocketIOError):
    """Raised when a process without a server can't reach the broker."""


class Reject(SocketIOError):
    """Raised by a handler to refuse the client's connection, subscription or message.

    It is for ``on_connect``, ``authorize``, ``on_subscribe``, ``on_message`` and ``on``.

    :param message: for the client: ``error.message`` of its ``connect_error`` event, or ``error``
        of the acknowledgement.
    :param data: a JSON value for the client: ``error.data``, or ``data`` of the acknowledgement.
    """

    def __init__(self, message: str = "rejected", data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class ValidationError(SocketIOError, ValueError):
    """Raised when a message does not fit the type in its handler's annotation."""


class DecodeError(SocketIOError, ValueError):
    """Raised when a peer's Engine.IO or Socket.IO packet is malformed or over a limit."""


class ProtocolError(SocketIOError, ValueError):
    """Raised when a peer breaks the WebSocket protocol.

    :param code: the close code to answer with (RFC 6455 section 7.4.1).
    :param reason: the fault, for the log and the close frame; never more than 123 bytes.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} (close code {code})")
        self.code = code
        self.reason = reason
