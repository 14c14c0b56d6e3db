"""The registry of clients; it also sends events to several of them."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from socketio_server.cluster.broker import Broker, Envelope
from socketio_server.cluster.memory import MemoryBroker
from socketio_server.engine.transports.base import Outgoing
from socketio_server.net.queued_output import QueuedOutput
from socketio_server.protocol import engineio, socketio4
from socketio_server.protocol.socketio import Encoder
from socketio_server.sockets.acknowledgements import (
    Answers,
    NoTimekeeper,
    Timekeeper,
    Waiter,
    ack_ids,
)
from socketio_server.sockets.recipient import Recipient
from socketio_server.sockets.subscriptions import Channels
from socketio_server.sockets.transactions import Transactions


class ClientSocket(Protocol):
    """A socket, as the mapping shows it."""

    request: Any
    context: dict[Any, Any]


S = TypeVar("S", bound=ClientSocket)


class Clients(Mapping[str, tuple[Any, S, dict[Any, Any]]]):
    """The clients of one process (``LocalNode``).

    As a mapping it is django-socketio's ``CLIENTS``: from session ids to ``(request, socket,
    context)``.

    :param channels: the registry of their subscriptions.
    """

    def __init__(self, channels: Channels) -> None:
        self.channels = channels
        self.old_encoder = socketio4.Encoder()
        """The encoder for clients of Socket.IO 4; only refusals differ."""
        self.encoder = Encoder()
        """The encoder of events; the Django app sets one that converts Django's types."""
        self.broker: Broker = MemoryBroker(self)
        """Carries broadcasts."""
        self.timekeeper: Timekeeper = NoTimekeeper()
        """Lets callers wait for clients; set by the server while it runs."""
        self.transactions: Transactions | None = None
        """Puts off what sockets send in a transaction; ``None``: they send at once."""
        self.output: QueuedOutput | None = None
        """Counts the bytes that wait for all clients; set by the server while it runs."""
        self.messages_out = 0
        """Sent events, counted once for each recipient."""
        self._recipients: dict[str, Recipient] = {}  # by id
        # By namespace, in order of connection.
        self._members: dict[str, dict[Recipient, S]] = {}

    def encode_with(self, default: Callable[[Any], Any]) -> None:
        """Let messages hold the types of ``default``, a ``json.JSONEncoder.default``."""
        self.encoder = Encoder(default)
        self.old_encoder = socketio4.Encoder(default)

    def add(self, recipient: Recipient, socket: S) -> None:
        """Register a client."""
        self._recipients[recipient.id] = recipient
        self._members.setdefault(recipient.namespace, {})[recipient] = socket

    def discard(self, recipient: Recipient) -> None:
        """Unregister a client, here and on all its channels. Idempotent."""
        for channel in recipient.channels:
            self.channels.discard(recipient, channel)
        recipient.channels = ()
        self._recipients.pop(recipient.id, None)
        members = self._members.get(recipient.namespace, {})
        members.pop(recipient, None)
        if not members:
            self._members.pop(recipient.namespace, None)

    def find(self, session_id: str, namespace: str) -> S | None:
        """Return the socket of that id, if it is connected to that namespace."""
        recipient = self._recipients.get(session_id)
        return None if recipient is None else self.members(namespace).get(recipient)

    def has_client(self, session_id: str, namespace: str) -> bool:
        """Return whether a client is connected to a namespace (``LocalNode``)."""
        recipient = self._recipients.get(session_id)
        return recipient is not None and recipient.namespace == namespace

    def is_wanted(self, namespace: str, channel: str | None) -> bool:
        """Return whether a client is on a channel, or in a namespace (``LocalNode``)."""
        if channel is None:
            return namespace in self._members
        return bool(self.channels.subscribers(namespace, channel))

    def members(self, namespace: str) -> Mapping[Recipient, S]:
        """Return the clients of a namespace and their sockets.

        It is a live view; don't hold on to it.
        """
        return self._members.get(namespace, {})

    def encode(
        self, namespace: str, event_name: str, args: Sequence[Any], ack_id: int | None = None
    ) -> Outgoing:
        """Encode an event, once for all recipients.

        :param ack_id: the id of the acknowledgement that they are to send; ``None``: none.
        :raises TypeError: if an argument can't be encoded.
        :raises ValueError: if the message is larger than what may wait for a client.
        """
        encoded = self.encoder.event(event_name, args, namespace, ack_id)
        outgoing = Outgoing(engineio.MESSAGE + encoded.text, encoded.attachments)
        size = len(outgoing.frames)
        if self.output is not None and size > self.output.max_queued_bytes:
            raise ValueError(
                f"{event_name!r} takes {size} bytes, and no more than "
                f"{self.output.max_queued_bytes} (SOCKETIO_MAX_QUEUED_BYTES) may wait for a "
                "client: send it in pieces"
            )
        return outgoing

    def freeze(
        self, namespace: str, event_name: str, args: Sequence[Any]
    ) -> tuple[tuple[Any, ...], int]:
        """Return an event's arguments as clients decode them, and the bytes that the event takes.

        Later changes of the original arguments don't affect them.

        :raises TypeError: if an argument can't be encoded.
        :raises ValueError: as ``encode``.
        """
        size = len(self.encode(namespace, event_name, args).frames)
        return tuple(self.plain(args)), size

    def plain(self, values: Sequence[Any]) -> list[Any]:
        """Return values as clients decode them (``LocalNode``).

        :raises TypeError: if one can't be encoded.
        """
        return self.encoder.plain(values)

    def deliver(self, envelope: Envelope) -> None:
        """Send an event to its recipients in this process (``LocalNode``).

        The hot path of a broadcast: the event is encoded once. The registries are iterated live,
        because no send waits, switches greenlets or changes subscriptions. If much is queued
        afterwards, and the caller may wait, let the loop take a turn, so that a burst of broadcasts
        drains meanwhile.

        :raises TypeError: if an argument can't be encoded.
        """
        namespace, channels = envelope.namespace, envelope.channels
        outgoing = self.encode(namespace, envelope.event_name, envelope.args)
        frames = outgoing.frames
        output = self.output
        crossings = 0 if output is None else output.crossings
        volatile = envelope.volatile
        recipients = self._find_recipients(namespace, channels)
        session_ids = envelope.session_ids
        if session_ids:
            recipients = self._with_clients(recipients, envelope)
        # With thousands of clients, none of their objects is in the CPU's cache. Therefore the loop
        # reads as few objects of each as it can; ``deliver`` reads more, and is for the rest.
        skipped = {self._recipients.get(session_id) for session_id in envelope.skip}
        if envelope.skip_channels:
            skipped.update(self._find_recipients(namespace, envelope.skip_channels))
        count = len(recipients)
        for recipient in recipients:
            if recipient in skipped or (volatile and not recipient.writable):
                count -= 1
            elif (fastlane := recipient.fastlane) is not None:
                fastlane.write(frames)
            else:
                is_named = session_ids and recipient.id in session_ids
                recipient.deliver(outgoing, None if is_named else channels)
        self.messages_out += count
        if output is not None and output.crossings != crossings and self.timekeeper.may_wait():
            self.timekeeper.let_others_run()

    def call(
        self,
        namespace: str,
        event_name: str,
        args: Sequence[Any],
        *,
        channels: tuple[str, ...] | None,
        skip: Collection[str] = (),
        skip_channels: tuple[str, ...] = (),
        timeout: float | None = None,
    ) -> Answers:
        """Send an event to clients of this process, and wait for all their acknowledgements.

        A client that a handler may still refuse is not asked, because it might never get the event.

        :param channels: as in ``Envelope``, like ``skip`` and ``skip_channels``.
        :param timeout: seconds to wait.
        :raises TypeError: if an argument can't be encoded.
        """
        ack_id = next(ack_ids)
        outgoing = self.encode(namespace, event_name, args, ack_id)
        found = self._find_recipients(namespace, channels)
        skipped = self._find_recipients(namespace, skip_channels)
        asked = [
            each
            for each in found
            if each.id not in skip and each not in skipped and not each.is_doubtful(channels)
        ]
        waiter = Waiter((recipient.id for recipient in asked), self.timekeeper)
        for recipient in asked:
            recipient.expect(ack_id, waiter)
            recipient.deliver(outgoing, channels)
        try:
            return waiter.wait(timeout)
        finally:
            for recipient in asked:
                recipient.forget_acknowledgement(ack_id)

    def _find_recipients(
        self, namespace: str, channels: tuple[str, ...] | None
    ) -> Collection[Recipient]:
        """Return the clients on any of the channels, each once.

        It is a live view; don't hold on to it.
        """
        if channels is None:
            return self.members(namespace)
        if len(channels) == 1:
            return self.channels.subscribers(namespace, channels[0])
        return dict.fromkeys(
            recipient
            for channel in channels
            for recipient in self.channels.subscribers(namespace, channel)
        )

    def _with_clients(
        self, recipients: Collection[Recipient], envelope: Envelope
    ) -> Collection[Recipient]:
        """Return recipients and the clients that the envelope names, each once."""
        named = (
            self._recipients[session_id]
            for session_id in envelope.session_ids
            if self.has_client(session_id, envelope.namespace)
        )
        return dict.fromkeys((*recipients, *named))

    def __getitem__(self, session_id: str) -> tuple[Any, S, dict[Any, Any]]:
        recipient = self._recipients[session_id]
        socket = self._members[recipient.namespace][recipient]
        return socket.request, socket, socket.context

    def __iter__(self) -> Iterator[str]:
        return iter(self._recipients)

    def __len__(self) -> int:
        return len(self._recipients)
