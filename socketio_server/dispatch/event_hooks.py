"""What the layer above does around the handlers of an event."""

from collections.abc import Callable
from typing import Any, Protocol

from socketio_server.dispatch.happenings import Happening
from socketio_server.dispatch.member import MemberRouter
from socketio_server.sockets.socket import Socket

WrapHandler = Callable[[Callable[..., Any], Callable[[Any], bool]], Callable[..., Any]]
"""The type of ``EventHooks.wrap_handler``."""


class EventHooks(Protocol):
    """The work of the layer above around handlers; it knows Django, the dispatcher does not."""

    refusals: tuple[type[Exception], ...]
    """Exceptions that a handler may raise, besides ``Reject``, to refuse a client."""

    absences: tuple[type[Exception], ...]
    """Exceptions of an ``authorize`` handler that refuse a client, without their text: what it
    looks for does not exist."""

    def capture(self, request: Any) -> Any:
        """Return the state that the project's middleware activated for a request, besides context
        variables; ``None`` if there is none.

        Runs in the greenlet of the handshake.
        """

    def request_size(self, request: Any) -> int:
        """Estimate how many bytes of a handshake's request are kept as long as its session."""

    def restore(self, captured: Any) -> None:
        """Activate the captured state again, in the worker's greenlet."""

    def watch(self, request: Any, router: MemberRouter) -> None:
        """Prepare the request of a client that joins a namespace for handlers. Idempotent."""

    def find_user(self, request: Any) -> None:
        """Tell the router which user the client is (``MemberRouter.set_user_room``), unless it was
        told already.
        """

    def before_event(self) -> None:
        """Prepare for an event's handlers, in a worker with state of earlier ones
        (``Worker.is_dirty``).
        """

    def after_event(self, request: Any) -> None:
        """Clean up after an event's handlers, even if they raised, in a worker where they or
        earlier ones left state behind (``Worker.is_dirty``).

        :param request: the client's; ``None``: the event is another server's.
        :raises Exception: if what the handlers left to be saved can't be saved.
        """

    def forget_changes(self, request: Any) -> None:
        """Save nothing of what handlers of the current event have changed so far: one raised, or
        refused.
        """

    wrap_handler: WrapHandler | None
    """Returns the wrapper to call instead of a handler, given what tells whether the value that it
    returns refuses the client; ``None``: call the handler itself."""

    def tell(self, happening: Happening, socket: Socket, **details: Any) -> None:
        """Tell the project what happened to a socket; must not raise."""

    def report_exception(self, socket: Socket, event_name: str, error: BaseException) -> None:
        """Report a handler's exception, besides the log; must not raise."""

    def find_mistake(self, result: Any) -> str | None:
        """Describe the mistake in a handler's return value, if it can't be meant."""

    logs_messages: bool
    """Whether ``log_message`` does anything."""

    def log_message(self, request: Any, kind: str, message: Any) -> None:
        """Log that a client subscribed, unsubscribed or sent a message."""
