"""Show what the server does, once a second, to everybody who looks."""

import os
import time
from threading import Thread

import socketio_server
from socketio_server import events

PAUSE = 1.0
"""Seconds between two looks."""


def measure():
    """Send numbers for as long as the server runs."""
    while True:
        counted = socketio_server.stats()
        numbers = {
            "load": os.getloadavg()[0],
            "clients": counted["sockets"],
            "messages": counted["messages_out"],
        }
        # "volatile" leaves out clients that have not taken the numbers before these yet.
        socketio_server.emit("numbers", numbers, volatile=True)
        time.sleep(PAUSE)


measuring = Thread(target=measure, daemon=True)


@events.on_connect
def begin(request, socket, context):
    """Begin to measure when the first one looks: not in ``manage.py check``."""
    if measuring.ident is None:
        measuring.start()
