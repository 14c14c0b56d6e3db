"""Who is connected, and how a message reaches several of them.

``CLIENTS`` is django-socketio's mapping from session ids to ``(request, socket, context)``, for
looking and not for writing.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from socketio_server.cluster.base import Broker, Envelope
from socketio_server.cluster.memory import MemoryBroker
from socketio_server.engine.transports.base import Outgoing
from socketio_server.protocol import engineio, socketio4
from socketio_server.protocol.socketio import Encoder
from socketio_server.sockets.acknowledgements import Answers, Clock, GeventClock, Waiter, ack_ids
from socketio_server.sockets.subscriptions import CHANNELS, Channels

if TYPE_CHECKING:
    from socketio_server.sockets.socket import Socket


_MESSAGE = engineio.MESSAGE  # globals are found faster than attributes


class Clients(Mapping[str, "tuple[Any, Socket, dict[Any, Any]]"]):
    """The sockets of one process.

    :param channels: which of them are on which channel.
    """

    def __init__(self, channels: Channels) -> None:
        self.channels = channels
        self.old_encoder = socketio4.Encoder()
        """The same for clients of Socket.IO 4; only refusals differ."""
        self.encoder = Encoder()
        """Turns messages into JSON; the Django layer sets one that takes what Django's own
        takes."""
        self.broker: Broker = MemoryBroker(self.deliver)
        """Carries what is for several clients."""
        self.clock: Clock = GeventClock()
        """Passes the time until clients acknowledge."""
        self.messages_out = 0
        """Events that were sent, one for each recipient."""
        self._sockets: dict[str, Socket] = {}
        # The same by namespace, in order of connection (the inner values mean nothing).
        self._members: dict[str, dict[Socket, None]] = {}

    def encode_with(self, default: Callable[[Any], Any]) -> None:
        """Let messages hold what ``default`` takes, a ``json.JSONEncoder.default``."""
        self.encoder = Encoder(default)
        self.old_encoder = socketio4.Encoder(default)

    def add(self, socket: "Socket") -> None:
        """Let a socket be found."""
        self._sockets[socket.id] = socket
        self._members.setdefault(socket.namespace, {})[socket] = None

    def discard(self, socket: "Socket") -> None:
        """Let a socket be found no more."""
        self._sockets.pop(socket.id, None)
        members = self._members.get(socket.namespace, {})
        members.pop(socket, None)
        if not members:
            self._members.pop(socket.namespace, None)

    def find(self, session_id: str, namespace: str) -> "Socket | None":
        """Return the socket of that id, if it is connected to that namespace."""
        socket = self._sockets.get(session_id)
        return socket if socket is not None and socket.namespace == namespace else None

    def members(self, namespace: str) -> "Collection[Socket]":
        """Return all sockets of a namespace; it lives, so don't keep it."""
        return self._members.get(namespace, {}).keys()

    def encode(
        self, namespace: str, event_name: str, args: Sequence[Any], ack_id: int | None = None
    ) -> Outgoing:
        """Encode an event, once for all who get it.

        :param ack_id: the id that they are to acknowledge it with, if they are.
        :raises TypeError: if an argument can't be encoded.
        """
        encoded = self.encoder.event(event_name, args, namespace, ack_id)
        return Outgoing(_MESSAGE + encoded.text, encoded.attachments)

    def deliver(self, envelope: Envelope) -> None:
        """Send an event to the sockets of this process that it is for.

        The fast path of a broadcast: encoded once, and no send of it waits, switches greenlets or
        changes who is on a channel, so the registries can be walked as they are.

        :raises TypeError: if an argument can't be encoded.
        """
        namespace, channels = envelope.namespace, envelope.channels
        outgoing = self.encode(namespace, envelope.event_name, envelope.args)
        frames = outgoing.frames
        volatile = envelope.volatile
        recipients = self._recipients(namespace, channels)
        # Among thousands of clients nothing of any of them is in the CPU's cache. So the loop looks
        # at as few of their objects as it can; ``deliver``, which looks at more, is for the rest.
        skipped = {self._sockets.get(session_id) for session_id in envelope.skip}
        count = len(recipients)
        for socket in recipients:
            if socket in skipped or (volatile and not socket.writable):
                count -= 1
            elif (direct := socket.direct) is not None:
                direct.write(frames)
            else:
                socket.deliver(outgoing, channels)
        self.messages_out += count

    def call(
        self,
        namespace: str,
        event_name: str,
        args: Sequence[Any],
        *,
        channels: tuple[str, ...] | None,
        skip: Collection[str] = (),
        timeout: float | None = None,
    ) -> Answers:
        """Send an event to sockets of this process, and wait for all their acknowledgements.

        :param channels: as in ``Envelope``.
        :param timeout: seconds to wait.
        :raises TypeError: if an argument can't be encoded.
        """
        ack_id = next(ack_ids)
        outgoing = self.encode(namespace, event_name, args, ack_id)
        asked = [s for s in self._recipients(namespace, channels) if s.id not in skip]
        waiter = Waiter((socket.id for socket in asked), self.clock)
        for socket in asked:
            socket.ledger.add(ack_id, waiter)
            socket.deliver(outgoing, channels)
        answers = waiter.wait(timeout)
        for socket in asked:
            socket.ledger.discard(ack_id)
        return answers

    def _recipients(self, namespace: str, channels: tuple[str, ...] | None) -> "Collection[Socket]":
        """Return the sockets on any of the channels, each once; it lives, so don't keep it."""
        if channels is None:
            return self.members(namespace)
        if len(channels) == 1:
            return self.channels.subscribers(namespace, channels[0])
        return dict.fromkeys(
            socket
            for channel in channels
            for socket in self.channels.subscribers(namespace, channel)
        ).keys()

    def __getitem__(self, session_id: str) -> "tuple[Any, Socket, dict[Any, Any]]":
        socket = self._sockets[session_id]
        return socket.request, socket, socket.context

    def __iter__(self) -> Iterator[str]:
        return iter(self._sockets)

    def __len__(self) -> int:
        return len(self._sockets)


CLIENTS = Clients(CHANNELS)
