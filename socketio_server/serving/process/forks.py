"""Keeps the server out of processes that a project forks.

A child of ``multiprocessing`` begins as a copy of the process, with its loop, its clients and its
descriptors. As soon as it waited for something, it would read bytes that clients send to its
parent; what it sends would go into the midst of what its parent sends; and it would hold the port
after the parent's end.
"""

import os
import socket
import sys
from collections.abc import Callable, Iterable
from functools import cache

from gevent import Greenlet, get_hub
from gevent.hub import Hub, set_hub  # type: ignore[attr-defined]  # the stubs lack it
from greenlet import getcurrent, greenlet

from socketio_server.net import descriptors

# Of the server that was started last.
_listeners: list[socket.socket] = []
_leaving: list[Callable[[], None]] = []


def install(listeners: Iterable[socket.socket], leave: Callable[[], None]) -> None:
    """Remove the server from each child that this process forks from now on.

    :param listeners: the sockets that the server listens on, in place of those of an earlier one.
    :param leave: called in the child, to leave the server's clients to its parent; must not wait.
    """
    _listeners[:] = listeners
    _leaving[:] = [leave]
    _register()


@cache
def _register() -> None:
    """Have children leave the loop of this greenlet to their parent; once, as it lasts."""
    hub = get_hub()
    os.register_at_fork(after_in_child=lambda: _leave_to_parent(hub))


def _leave_to_parent(hub: Hub) -> None:
    """Replace the loop, with all its watchers, and let go of the sockets that listen."""
    hub.loop.destroy()
    set_hub(Hub(default=True))
    for listener in _listeners:
        descriptors.leave_to_parent(listener)
    for leave in _leaving:
        leave()
    current = getcurrent()
    if current.parent is not None:  # it is not the main one
        end = greenlet(_end_after, parent=hub.parent)
        end.switch(current)
        hub.parent = end  # gets SystemExit
        if not isinstance(current, Greenlet):  # whose parent must be a hub
            current.parent = end


def _end_after(forked: greenlet) -> None:
    """End the process when a handler or view that forked it returns or exits, because whatever
    would happen next is its parent's.
    """
    status = 1
    try:
        forked.switch()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
