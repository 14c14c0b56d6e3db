"""The registry of clients; it also sends events to several of them."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from socketio_server.cluster.broker import Broker, Envelope, Recipients
from socketio_server.cluster.memory import MemoryBroker
from socketio_server.engine.transports.base import Outgoing
from socketio_server.net.queued_output import QueuedOutput
from socketio_server.net.turns import LARGE
from socketio_server.net.workers import note_large_message
from socketio_server.protocol import engineio, socketio4
from socketio_server.protocol.cluster_requests import MAX_DECODED, excessive_size
from socketio_server.protocol.redis_adapter import encode_messagepack
from socketio_server.protocol.socketio import Encoded, Encoder
from socketio_server.sockets.acknowledgements import (
    Answer,
    Collector,
    NoTimekeeper,
    Timekeeper,
    UnchargedAnswer,
    ack_ids,
)
from socketio_server.sockets.recipient import Recipient
from socketio_server.sockets.subscriptions import Channels, subscription_size
from socketio_server.sockets.transactions import Transactions


class ClientSocket(Protocol):
    """A socket, as the mapping shows it."""

    request: Any
    context: dict[Any, Any]

    @property
    def data(self) -> dict[str, Any]:
        """What other processes may know."""


RunClusterEvent = Callable[[str, str, Sequence[Any], Callable[[Any], None] | None], None]
"""Lets handlers run soon: takes the namespace, the event's name, its arguments, and what to call
with their answer."""


def _nothing(request: Any) -> dict[str, Any]:
    return {}


@contextmanager
def _shared(several: Sequence[Outgoing]) -> Iterator[None]:
    """Have events compressed once for all their recipients, until the end of the ``with``."""
    for outgoing in several:
        outgoing.share()
    try:
        yield
    finally:
        for outgoing in several:
            outgoing.unshare()


S = TypeVar("S", bound=ClientSocket)
C = TypeVar("C", bound=Collector)


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
        """Lets callers wait for clients."""
        self.transactions: Transactions | None = None
        """Puts off what sockets send in a transaction; ``None``: they send at once."""
        self.handshake_describer: Callable[[], Callable[[Any], dict[str, Any]]] = lambda: _nothing
        """Returns a function from the request of a handshake to what other processes may know of
        it; the Django app sets one."""
        self.run_cluster_event: RunClusterEvent | None = None
        """Lets handlers run for an event of another server; ``None`` while no server runs here."""
        self.keep_answer: Callable[[str | None, bytes], Answer] = UnchargedAnswer
        """Keeps the acknowledgement of another process's client until a caller reads it; takes the
        client's id, if it is known, and MessagePack."""
        self.output: QueuedOutput | None = None
        """Counts the bytes that wait for all clients; ``None`` while no server runs."""
        self.messages_out = 0
        """Sent events, counted once for each recipient."""
        self._recipients: dict[str, Recipient] = {}  # by id
        # By namespace, in order of connection.
        self._members: dict[str, dict[Recipient, S]] = {}

    def serve(
        self,
        *,
        broker: Broker,
        timekeeper: Timekeeper,
        transactions: Transactions | None,
        run_cluster_event: RunClusterEvent,
        keep_answer: Callable[[str | None, bytes], Answer],
        output: QueuedOutput,
    ) -> None:
        """Use the parts of a server that starts, until ``stop_serving``."""
        self.broker = broker
        self.timekeeper = timekeeper
        self.transactions = transactions
        self.run_cluster_event = run_cluster_event
        self.keep_answer = keep_answer
        self.output = output

    def stop_serving(self) -> None:
        """Do without a server again."""
        self.broker = MemoryBroker(self)
        self.timekeeper = NoTimekeeper()
        self.transactions = self.run_cluster_event = self.output = None
        self.keep_answer = UnchargedAnswer

    def leave_to_parent(self) -> None:
        """Have no clients in this process, which was forked from the one that has them."""
        for members in self._members.values():
            for recipient in members:
                recipient.leave_to_parent()
        self._recipients.clear()
        self._members.clear()
        self.channels.clear()
        self.stop_serving()

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
        if recipient.channels or recipient.rooms:
            for name in (*recipient.channels, *recipient.rooms):
                self.channels.discard(recipient, name)
            size = sum(map(subscription_size, recipient.channels))
            recipient.channels = recipient.rooms = ()
            recipient.charge_subscriptions(-size)
        if self._recipients.pop(recipient.id, None) is not None:
            members = self._members[recipient.namespace]
            del members[recipient]
            if not members:
                del self._members[recipient.namespace]

    def subscribe(self, recipient: Recipient, *channels: str) -> Collection[str]:
        """Put a client on channels; the caller has the broker listen to them. May end its session,
        if all clients hold too much.

        :return: those that it was not on.
        """
        is_on = frozenset(recipient.channels)
        added = dict.fromkeys(channel for channel in channels if channel not in is_on)
        recipient.channels += tuple(added)
        for channel in added:
            self.channels.add(recipient, channel)
        recipient.charge_subscriptions(sum(map(subscription_size, added)))
        return added

    def unsubscribe(self, recipient: Recipient, *channels: str) -> Collection[str]:
        """Take a client off channels.

        :return: those that it was on.
        """
        remaining = dict.fromkeys(recipient.channels)
        removed = [channel for channel in dict.fromkeys(channels) if channel in remaining]
        for channel in removed:
            del remaining[channel]
            self.channels.discard(recipient, channel)
        if removed:
            recipient.channels = tuple(remaining)
            recipient.charge_subscriptions(-sum(map(subscription_size, removed)))
        return removed

    def enter(self, recipient: Recipient, room: str) -> None:
        """Put a client in a room of our own, besides its channels, until it leaves or disconnects.

        What is sent to the room by its name reaches the client, from all processes; nobody sees the
        room, no pattern of handlers is matched with it, and it can't be subscribed to. Idempotent;
        never waits.

        :param room: begins with ``RESERVED_HEAD``.
        """
        if room not in recipient.rooms:
            recipient.rooms += (room,)
            self.channels.add(recipient, room)
            self.broker.listen(recipient.namespace, room, wait=False)

    def leave(self, recipient: Recipient, room: str) -> None:
        """Take a client out of a room of our own. Idempotent."""
        recipient.rooms = tuple(other for other in recipient.rooms if other != room)
        self.channels.discard(recipient, room)

    def in_room(self, room: str) -> list[S]:
        """Return the sockets in a room of our own, in all namespaces."""
        return [
            members[recipient]
            for namespace, members in self._members.items()
            for recipient in self.channels.subscribers(namespace, room)
        ]

    def find(self, session_id: str, namespace: str) -> S | None:
        """Return the socket of that id, if it is connected to that namespace."""
        recipient = self._recipients.get(session_id)
        return None if recipient is None else self.members(namespace).get(recipient)

    def has_client(self, socket_id: str, namespace: str) -> bool:
        """Return whether a client is connected to a namespace (``LocalNode``)."""
        recipient = self._recipients.get(socket_id)
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
        return self._frame(event_name, self.encoder.event(event_name, args, namespace, ack_id))

    def encode_with_values(
        self, namespace: str, event_name: str, args: Sequence[Any]
    ) -> tuple[Outgoing, list[Any]]:
        """Encode an event, and return its name and arguments as clients decode them
        (``LocalNode``).

        :raises TypeError: if an argument can't be encoded.
        :raises ValueError: as ``encode``.
        """
        encoded, values = self.encoder.event_with_values(event_name, args, namespace)
        return self._frame(event_name, encoded), values

    def freeze(
        self, namespace: str, event_name: str, args: Sequence[Any]
    ) -> tuple[tuple[Any, ...], int]:
        """Return an event's arguments as clients decode them, and the bytes that the event takes.

        Later changes of the original arguments don't affect them.

        :raises TypeError: if an argument can't be encoded.
        :raises ValueError: as ``encode``.
        """
        size = len(self.encode(namespace, event_name, args).frames)
        copied = tuple(self.copy(args))
        if size > LARGE and self.broker.reaches_others:
            self.verify_for_others(event_name, encode_messagepack((event_name, *copied)))
        return copied, size

    def verify_for_others(self, event_name: str, message: bytes) -> None:
        """Verify that other processes take an event (``LocalNode``).

        :param message: it, in MessagePack.
        :raises ValueError: if it is larger than what they take.
        """
        output = self.output
        if output is not None and len(message) > output.max_queued_bytes:
            raise ValueError(
                f"{event_name!r} takes {len(message)} bytes on its way to other processes, and no "
                f"more than {output.max_queued_bytes} (SOCKETIO_MAX_QUEUED_BYTES) may arrive "
                "there: send it in pieces"
            )
        size = excessive_size(message)
        if size is not None:
            raise ValueError(
                f"{event_name!r} takes about {size} bytes once other processes have decoded it, "
                f"and no more than {MAX_DECODED} may: send it in pieces, or as binary data"
            )

    def copy(self, values: Sequence[Any]) -> list[Any]:
        """Return values as clients decode them; later changes don't affect them.

        :raises TypeError: if one can't be encoded.
        """
        return self.encoder.copy(values)

    def deliver(self, envelope: Envelope) -> None:
        """Send an event to its recipients in this process (``LocalNode``).

        :raises TypeError: if an argument can't be encoded.
        """
        outgoing = self.encode(envelope.namespace, envelope.event_name, envelope.args)
        self.deliver_encoded(envelope, (outgoing,), volatile=envelope.volatile)

    def deliver_encoded(
        self, wanted: Recipients, several: Sequence[Outgoing], *, volatile: bool = False
    ) -> None:
        """Send events to their recipients in this process (``LocalNode``).

        The hot path of a broadcast: it is encoded once. The registries are iterated live, because
        no send waits, switches greenlets or changes subscriptions. If much is queued afterwards,
        and the caller may wait, let the loop take a turn, so that a burst of broadcasts drains
        meanwhile.
        """
        channels, socket_ids = wanted.channels, wanted.socket_ids
        if len(several) == 1:
            frames = several[0].frames
        else:
            frames = b"".join([outgoing.frames for outgoing in several])
        output = self.output
        crossings = 0 if output is None else output.crossings
        recipients, skipped = self._find(wanted), self._find_skipped(wanted)
        # With thousands of clients, none of their objects is in the CPU's cache. Therefore the loop
        # reads as few objects of each as it can; ``deliver`` reads more, and is for the rest.
        count = len(recipients)
        with _shared(several):
            for recipient in recipients:
                if recipient in skipped or (volatile and not recipient.writable):
                    count -= 1
                elif (fastlane := recipient.fastlane) is not None:
                    fastlane.write(frames)
                else:
                    is_named = socket_ids and recipient.id in socket_ids
                    for outgoing in several:
                        recipient.deliver(outgoing, None if is_named else channels)
        self.messages_out += count * len(several)
        if output is not None and output.crossings != crossings and self.timekeeper.may_wait():
            self.timekeeper.let_others_run()

    @contextmanager
    def asking(self, envelope: Envelope, make: Callable[[list[str]], C]) -> Iterator[C]:
        """Send an event to its recipients in this process, who are to acknowledge it.

        A client that a handler may still refuse is not asked, because it might never get the event.

        :param make: returns who waits for the acknowledgements of the clients with these ids, until
            the end of the ``with``.
        :raises TypeError: if an argument can't be encoded.
        """
        ack_id = next(ack_ids)
        outgoing = self.encode(envelope.namespace, envelope.event_name, envelope.args, ack_id)
        asked = self.select(envelope, sure=True)
        pending = make([recipient.id for recipient in asked])
        with _shared((outgoing,)):
            for recipient in asked:
                recipient.expect(ack_id, pending)
                recipient.deliver(outgoing, envelope.channels)
        try:
            yield pending
        finally:
            for recipient in asked:
                recipient.forget_acknowledgement(ack_id)
            pending.close()

    def select(self, recipients: Recipients, *, sure: bool = False) -> list[Recipient]:
        """Return recipients that are clients of this process.

        :param sure: without those that a handler may still refuse.
        """
        skipped = self._find_skipped(recipients)
        return [
            each
            for each in self._find(recipients)
            if each not in skipped and not (sure and self._is_doubtful(each, recipients))
        ]

    def _frame(self, event_name: str, encoded: Encoded) -> Outgoing:
        """Return an encoded event as it is sent."""
        outgoing = Outgoing(engineio.MESSAGE + encoded.text, encoded.attachments)
        output = self.output
        if output is None or len(outgoing.frames) <= output.unremarkable:
            return outgoing
        note_large_message()
        if len(outgoing.frames) > output.max_queued_bytes:
            raise ValueError(
                f"{event_name!r} takes {len(outgoing.frames)} bytes, and no more than "
                f"{output.max_queued_bytes} (SOCKETIO_MAX_QUEUED_BYTES) may wait for a client: "
                "send it in pieces"
            )
        return outgoing

    def _is_doubtful(self, recipient: Recipient, recipients: Recipients) -> bool:
        is_named = recipient.id in recipients.socket_ids
        return recipient.is_doubtful(None if is_named else recipients.channels)

    def _find(self, wanted: Recipients) -> Collection[Recipient]:
        """Return the clients that are wanted, each once, those that are skipped among them.

        It may be a live view; don't hold on to it.
        """
        found = self._find_recipients(wanted.namespace, wanted.channels)
        return self._with_clients(found, wanted) if wanted.socket_ids else found

    def _find_skipped(self, wanted: Recipients) -> Collection[Recipient | None]:
        """Return the clients that are skipped."""
        if not wanted.skip and not wanted.skip_channels:
            return ()  # nearly always
        named = map(self._recipients.get, wanted.skip)
        return {*named, *self._find_recipients(wanted.namespace, wanted.skip_channels)}

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
        self, found: Collection[Recipient], wanted: Recipients
    ) -> Collection[Recipient]:
        """Return clients, and those that are wanted by their ids, each once."""
        named = (
            self._recipients[socket_id]
            for socket_id in wanted.socket_ids
            if self.has_client(socket_id, wanted.namespace)
        )
        return dict.fromkeys((*found, *named))

    def __getitem__(self, session_id: str) -> tuple[Any, S, dict[Any, Any]]:
        recipient = self._recipients[session_id]
        socket = self._members[recipient.namespace][recipient]
        return socket.request, socket, socket.context

    def __iter__(self) -> Iterator[str]:
        return iter(self._recipients)

    def __len__(self) -> int:
        return len(self._recipients)
