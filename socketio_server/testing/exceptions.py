"""Exceptions of the test client for refusals by the server."""

from typing import Any

from socketio_server.exceptions import SocketIOError


class ConnectionRefused(SocketIOError):
    """Raised by ``connect`` when the server refuses the client.

    :param message: ``error.message`` of the client's ``connect_error`` event.
    :param data: ``error.data`` of that event.
    :param response: the answer to the handshake, if the view or the project's middleware refused
        it; ``None`` if ``on_connect`` refused.
    """

    def __init__(self, message: str, data: Any = None, response: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
        self.response = response


class SubscriptionRefused(SocketIOError):
    """Raised by ``subscribe`` when ``authorize`` or ``on_subscribe`` refuses, or the channel's name
    is invalid.

    :param message: ``error`` in the client's acknowledgement.
    :param data: ``data`` in that acknowledgement.
    """

    def __init__(self, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
