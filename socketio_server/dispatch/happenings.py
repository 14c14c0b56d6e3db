"""What the project may be told of besides its handlers: Django's signals, in the layer above."""

from enum import StrEnum


class Happening(StrEnum):
    """Something that has happened to a socket."""

    CLIENT_CONNECTED = "client_connected"
    CLIENT_DISCONNECTED = "client_disconnected"
    CHANNEL_SUBSCRIBED = "channel_subscribed"
    CHANNEL_UNSUBSCRIBED = "channel_unsubscribed"
    HANDLER_FAILED = "handler_failed"
