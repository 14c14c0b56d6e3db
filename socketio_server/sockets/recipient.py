"""The interface between the registries and a client that gets messages."""

from collections.abc import Sequence
from typing import Protocol

from socketio_server.engine.transports.base import Outgoing
from socketio_server.net.connection import Connection
from socketio_server.sockets.acknowledgements import Pending


class Recipient(Protocol):
    """One client in one namespace, as the registries see it. No method waits for the client."""

    @property
    def id(self) -> str:
        """The public id."""

    @property
    def namespace(self) -> str:
        """The namespace that the client joined."""

    channels: tuple[str, ...]
    """The channels held, in order of subscription."""

    rooms: tuple[str, ...]
    """The rooms of our own that it is in, besides its channels."""

    @property
    def fastlane(self) -> Connection | None:
        """The connection for writing ``Outgoing.frames`` directly, instead of ``deliver``."""

    @property
    def writable(self) -> bool:
        """Whether a message would be sent at once."""

    @property
    def is_open(self) -> bool:
        """Whether the connection lasts."""

    def deliver(self, outgoing: Outgoing, channels: Sequence[str] | None = None) -> None:
        """Send a message.

        :param channels: the channels that it was published on, if it was.
        """

    def is_doubtful(self, channels: Sequence[str] | None) -> bool:
        """Return whether a handler may still refuse the client messages of these channels.

        :param channels: as in ``deliver``.
        """

    def charge_subscriptions(self, change: int) -> None:
        """Charge the client for more bytes of its subscriptions, or for fewer; may end its
        session.
        """

    def expect(self, ack_id: int, pending: Pending) -> None:
        """Note that the client is asked to acknowledge ``ack_id``."""

    def forget_acknowledgement(self, ack_id: int) -> None:
        """Ignore the acknowledgement of ``ack_id``, should it still arrive."""

    def moved(self, channel: str, *, is_on: bool) -> None:
        """Have the project told, in a later turn, that the client was put on a channel or taken
        off it.
        """

    def leave_to_parent(self) -> None:
        """Send the client nothing from this process, which was forked from the one that has it."""

    def disconnect(self, *, close: bool) -> None:
        """Take the client out of the namespace; with ``close``, end its whole session."""
