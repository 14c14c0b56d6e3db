"""An API for booking rooms: requests are checked by their types, and each gets an answer."""

from datetime import date
from typing import Annotated

import msgspec

from socketio_server import events


class Booking(msgspec.Struct, forbid_unknown_fields=True):
    """A request for a room."""

    room: str
    day: date
    guests: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1


class Booked(msgspec.Struct):
    """The answer."""

    number: int
    booking: Booking


booked = []


@events.on("book")
def book(request, socket, context, booking: Booking):
    """Book a room for a day, unless it is taken."""
    if any((other.room, other.day) == (booking.room, booking.day) for other in booked):
        return {"error": f"{booking.room} is taken on {booking.day}."}
    booked.append(booking)
    return Booked(len(booked), booking)


@events.on("bookings")
def bookings(request, socket, context):
    """Tell all bookings."""
    return booked
