"""Django signals of what happens to clients, for code that is no handler.

The sender is the class of sockets; receivers get ``namespace``, ``socket`` and ``request``, and:

* ``client_connected``: a client was let in;
* ``client_disconnected``: the last handler of a client has run, with the ``reason``;
* ``channel_subscribed``, ``channel_unsubscribed``: a socket is on a ``channel`` now, or not any
  more, whoever put or took it; with the ``reason``, if its connection ended;
* ``handler_failed``: a handler of an ``event`` raised an ``exception``.
"""

from socketio_server.serving.around_events.signals import (
    channel_subscribed,
    channel_unsubscribed,
    client_connected,
    client_disconnected,
    handler_failed,
)

__all__ = [
    "channel_subscribed",
    "channel_unsubscribed",
    "client_connected",
    "client_disconnected",
    "handler_failed",
]
