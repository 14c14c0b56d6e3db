"""A Socket.IO client for tests: your handlers without a server, without sockets, without waiting.

    from django.test import TestCase
    from socketio_server.testing import SocketIOClient

    class ChatTests(TestCase):
        def test_what_is_said_reaches_the_room(self):
            with SocketIOClient(user=self.ann) as ann, SocketIOClient(user=self.bob) as bob:
                ann.subscribe("room-1")
                bob.subscribe("room-1")
                ann.send("hello")
                bob.assert_received("hello")

The handshake goes through the project's middleware and the server's own view, messages through the
real encoders, router and dispatcher to the handlers, which run at once: in the test's own thread,
and so in its database transaction. Only what lies between a client and the router is replaced:
transports, heartbeat timers, workers and the time. What this can't show is how handlers of several
sockets overlap: here each runs to its end, or until it waits for an acknowledgement.

From the test to the handlers: ``client`` is what tests call, on top of ``peer``, which speaks
Socket.IO; ``handshake`` asks Django to be let in; ``link`` carries the session; ``world`` is loop,
workers and time.
"""

from socketio_server.testing.client import SocketIOClient
from socketio_server.testing.exceptions import ConnectionRefused, SubscriptionRefused
from socketio_server.testing.world import Clock, clock

__all__ = ["Clock", "ConnectionRefused", "SocketIOClient", "SubscriptionRefused", "clock"]
