"""Keeps the server out of processes that a project forks.

A child of ``multiprocessing`` begins as a copy of the process, with its loop and its descriptors.
As soon as it waited for something, it would read bytes that clients send to its parent, and it
would hold the port after the parent's end.
"""

import os
import socket
from functools import cache

from gevent import get_hub
from gevent.hub import Hub, set_hub  # type: ignore[attr-defined]  # the stubs lack it


@cache
def install(*listeners: int) -> None:
    """Remove the server from each child that this process forks. Idempotent.

    :param listeners: the descriptors of the sockets that the server listens on.
    """
    hub = get_hub()
    os.register_at_fork(after_in_child=lambda: _leave_to_parent(hub, listeners))


def _leave_to_parent(hub: Hub, listeners: tuple[int, ...]) -> None:
    """Replace the loop, with all its watchers, and the listening sockets.

    Their descriptors stay in use, because Python objects may still close them.
    """
    hub.loop.destroy()
    set_hub(Hub(default=True))
    with socket.socket(socket.AF_UNIX) as unused:
        for listener in listeners:
            os.dup2(unused.fileno(), listener, inheritable=False)
