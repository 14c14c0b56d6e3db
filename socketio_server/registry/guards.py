"""Handlers with a test of the client's request before them: what ``socketio_server.decorators``
makes of a handler.

A class of its own instead of a wrapping function, because the tests of ``on_connect`` are found
again when a client's rights change, and because the guarded handler's signature is checked.
"""

from collections.abc import Callable, Iterator
from functools import partial, update_wrapper
from typing import Any


class Guarded:
    """A handler that runs only if a test lets the client pass.

    :param handler: the handler.
    :param test: called with the request; raises one of the exceptions that refuse a client.
    :param is_own: whether the test may decide by more than Django knows of a user.
    """

    def __init__(
        self, handler: Callable[..., Any], test: Callable[[Any], None], *, is_own: bool = False
    ) -> None:
        update_wrapper(self, handler)
        self.handler = handler
        self.test = test
        self.is_own = is_own

    def __call__(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Test the request, and run the handler."""
        self.test(request)
        return self.handler(request, *args, **kwargs)


def layers_of(handler: Any) -> Iterator[Any]:
    """Yield a handler and what it wraps, from the outside to the inside."""
    while handler is not None:
        yield handler
        if isinstance(handler, Guarded):
            handler = handler.handler
        elif isinstance(handler, partial):
            handler = handler.func
        else:
            handler = getattr(handler, "__wrapped__", None)


def has_own_test(handler: Any) -> bool:
    """Return whether a test before a handler may decide by more than Django knows of a user."""
    return any(isinstance(layer, Guarded) and layer.is_own for layer in layers_of(handler))


def tests_of(handler: Any) -> list[Callable[[Any], None]]:
    """Return the tests before a handler, in the order in which they are made."""
    return [layer.test for layer in layers_of(handler) if isinstance(layer, Guarded)]
