"""A polling client's request, as a transport sees it, and the answer to one that is refused."""

from typing import Protocol

from socketio_server.protocol import engineio
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.protocol.http1.responses import Response


class Exchange(Protocol):
    """A request of the client that waits for its answer. No method blocks."""

    def reply(self, response: Response) -> None:
        """Answer the request; called once. If the client has gone, do nothing."""

    def has_ended(self) -> bool:
        """Return whether the client has gone, even if the loop has not reported it yet."""

    def is_underway(self) -> bool:
        """Return whether the client has yet to read some of the answer."""

    def drop_body(self) -> None:
        """Keep nothing of the body, which has arrived in part, and refuse the request later."""

    def abort(self) -> None:
        """Close the client's connection without an answer."""


def error_response(code: ErrorCode, message: str | None = None) -> Response:
    """An Engine.IO error: 403 if forbidden, else 400, with the reference server's JSON.

    :param message: replaces the reference server's message for this code.
    """
    status = 403 if code is ErrorCode.FORBIDDEN else 400
    return Response(status, engineio.encode_error(code, message), "application/json")


BAD_REQUEST = error_response(ErrorCode.BAD_REQUEST)
"""The answer to a request that breaks the protocol."""
