"""What a client's calls raise when the server says no."""

from typing import Any

from socketio_server.exceptions import SocketIOError


class ConnectionRefused(SocketIOError):
    """Raised by ``connect`` when the client was not let in.

    :param message: what the client was told: ``error.message`` of its ``connect_error`` event.
    :param data: ``error.data`` there.
    :param response: the answer to the handshake, where that was refused already, by the origin
        check or by the project's middleware; ``None`` where ``on_connect`` refused.
    """

    def __init__(self, message: str, data: Any = None, response: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
        self.response = response


class SubscriptionRefused(SocketIOError):
    """Raised by ``subscribe`` when ``on_subscribe`` refused, or the channel's name is none.

    :param message: what the client was told: ``error`` in its acknowledgement.
    :param data: ``data`` there.
    """

    def __init__(self, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
