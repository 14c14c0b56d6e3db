"""Keeps the server out of processes that a project forks.

A child of ``multiprocessing`` begins as a copy of the process, with its loop and its descriptors.
As soon as it waited for something, it would read bytes that clients send to its parent, and it
would hold the port after the parent's end.
"""

import os
import socket
from collections.abc import Iterable
from functools import cache

from gevent import get_hub
from gevent.hub import Hub, set_hub  # type: ignore[attr-defined]  # the stubs lack it

_listeners: list[socket.socket] = []  # of the server that was started last


def install(listeners: Iterable[socket.socket]) -> None:
    """Remove the server from each child that this process forks from now on.

    :param listeners: the sockets that the server listens on, in place of those of an earlier one.
    """
    _listeners[:] = listeners
    _register()


@cache
def _register() -> None:
    """Have children leave the loop of this greenlet to their parent; once, as it lasts."""
    hub = get_hub()
    os.register_at_fork(after_in_child=lambda: _leave_to_parent(hub))


def _leave_to_parent(hub: Hub) -> None:
    """Replace the loop, with all its watchers, and the sockets that still listen.

    Their descriptors stay in use, because Python objects may still close them. The descriptor of a
    socket that is closed already may be a file's by now.
    """
    hub.loop.destroy()
    set_hub(Hub(default=True))
    with socket.socket(socket.AF_UNIX) as unused:
        for listener in _listeners:
            if listener.fileno() >= 0:
                os.dup2(unused.fileno(), listener.fileno(), inheritable=False)
