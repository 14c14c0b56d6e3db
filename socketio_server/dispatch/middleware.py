"""The call that ``SOCKETIO_MIDDLEWARE`` wraps: one event on its way to its handlers.

In Django's style: a middleware is a callable that takes the next one and returns its own.
"""

from collections.abc import Callable, Sequence
from typing import Any

from socketio_server.sockets.socket import Socket

NO_ANSWER = object()
"""Instead of the handlers' answer: one of them raised, and none answered."""


class EventCall:
    """One event on its way to its handlers, as middleware sees it.

    :param event: ``on_message`` and the like, or the name of a custom event.
    :param args: the handlers' arguments behind ``request``, ``socket`` and ``context``; middleware
        may replace them.
    """

    __slots__ = ("_run", "args", "event", "raised", "socket")

    def __init__(
        self,
        event: str,
        socket: Socket,
        args: Sequence[Any],
        run: Callable[[Sequence[Any]], Any],
    ) -> None:
        self.event = event
        self.socket = socket
        self.args = args
        self.raised = False
        """Whether a handler raised, which was logged and told ``on_error`` already."""
        self._run = run

    def run(self) -> Any:
        """Run the handlers; the innermost middleware calls this.

        :return: their answer.
        """
        answer = self._run(self.args)
        self.raised = answer is NO_ANSWER
        return None if self.raised else answer


CallNext = Callable[[EventCall], Any]
