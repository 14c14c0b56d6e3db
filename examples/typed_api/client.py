"""Book rooms: ``python client.py http://localhost:9000``."""

import sys

import socketio

with socketio.SimpleClient() as client:
    client.connect(sys.argv[1])
    print(client.call("book", {"room": "Oak", "day": "2030-05-17", "guests": 3}))
    print(client.call("book", {"room": "Oak", "day": "2030-05-17"}))
    print(client.call("book", {"room": "Ash", "day": "tomorrow"}))
    print(client.call("book", {"room": "Ash", "day": "2030-05-17", "guests": 9}))
    print(client.call("book", {"room": "Ash", "day": "2030-05-17", "pets": 1}))
    print(client.call("bookings"))
