"""A Socket.IO client for tests: your handlers without a server, without sockets, without waiting;
and the real server, for tests with browsers.

    from django.test import TestCase
    from socketio_server.testing import SocketIOClient

    class ChatTests(TestCase):
        def test_what_is_said_reaches_the_room(self):
            with SocketIOClient(user=self.ann) as ann, SocketIOClient(user=self.bob) as bob:
                ann.subscribe("room-1")
                bob.subscribe("room-1")
                ann.send("hello")
                bob.assert_received("hello")

The handshake goes through the project's middleware and the server's own view, messages go through
the real encoders, router and dispatcher to the handlers. Handlers run at once, in the test's thread
and therefore in its database transaction. Only the parts between a client and the router are
replaced: transports, heartbeat timers, workers and the time. Tests can't show how handlers of
several sockets overlap, because each handler runs to its end, or until it waits for an
acknowledgement.

The modules, from the test to the handlers: ``client`` has the methods that tests call; its base
``peer`` speaks Socket.IO; ``handshake`` makes the request; ``link`` carries the session; ``world``
is loop, workers and time. ``live`` has the real server.
"""

from socketio_server.testing.client import SocketIOClient
from socketio_server.testing.exceptions import ConnectionRefused, SubscriptionRefused
from socketio_server.testing.live import LiveServer, SocketIOLiveServerTestCase
from socketio_server.testing.world import Clock, clock

__all__ = [
    "Clock",
    "ConnectionRefused",
    "LiveServer",
    "SocketIOClient",
    "SocketIOLiveServerTestCase",
    "SubscriptionRefused",
    "clock",
]
