"""The broker of a cluster: servers exchange broadcasts and requests through Redis, on the wire of
Node's Redis adapter.

A process hears only what is for somebody here: what is published for everyone in a namespace or for
several channels, for one channel that a client here is on, and for one socket. Its own messages
come back to it and are ignored, because they were delivered before they were published.

No sender of a message waits for Redis. While Redis is lost for sending, messages reach the clients
of their own process only; while it is lost for receiving, clients get nothing of other processes.
Either may be lost without the other.
"""

import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gevent
from gevent.event import Event
from msgspec import Raw

from socketio_server.cluster.broker import (
    Envelope,
    LocalNode,
    LocalOperations,
    Patience,
    Responses,
)
from socketio_server.cluster.envelopes import are_wanted, to_broadcast
from socketio_server.cluster.inquiries import Inquiry
from socketio_server.cluster.redis.answerer import Answerer
from socketio_server.cluster.redis.bursts import Burst
from socketio_server.cluster.redis.connections import connector, not_redis, pack
from socketio_server.cluster.redis.link import Link
from socketio_server.cluster.redis.listener import Heard, Kind, Listener, Topic
from socketio_server.cluster.redis.sender import Query, Sender
from socketio_server.exceptions import DecodeError
from socketio_server.net.log import show
from socketio_server.net.refusals import RefusalKind, Refusals
from socketio_server.net.statistics import Snapshot
from socketio_server.net.turns import LARGE, PAUSE
from socketio_server.options import Options
from socketio_server.protocol.cluster_requests import (
    Question,
    Request,
    Response,
    decode_request,
    decode_request_id,
    decode_response,
    encode_request,
    excessive_size,
)
from socketio_server.protocol.names import SOCKET_ID_LENGTH
from socketio_server.protocol.redis_adapter import (
    UID_LENGTH,
    Broadcast,
    ChannelNames,
    decode_broadcast,
    decode_event,
    encode_broadcast,
)

START_TIMEOUT = 1.0
"""Seconds that the start waits for Redis."""

CONFIRMATION_TIMEOUT = 1.0
"""Seconds that a subscription waits for Redis."""

PING_INTERVAL = 2.0
"""Seconds after which Redis is asked for a sign of life."""

READ_TIMEOUT = 5.0
"""Seconds without a reply or a message in full from Redis, which is pinged more often, after which
it is lost."""

SWEEP_INTERVAL = 30.0
"""Seconds that a channel without subscribers is still listened to, at least, and at most twice as
long, because clients that come and go must not cost a subscription each."""

MAX_MORE_TOPICS = 10_000
"""Subscriptions that may be added between two sweeps; beyond, the next one comes at once, and keeps
only what somebody wants. Clients choose the names of channels."""

SWEPT_AT_ONCE = 1000
"""Subscriptions that a sweep looks at before others run."""

logger = logging.getLogger("socketio_server")


class RedisBroker:
    """Carries broadcasts and requests to and from the other processes of a cluster (``Broker``).

    :param node: this process.
    :param operations: what other servers may have it do.
    :param url: where Redis is.
    :param patience: lets callers wait.
    :param refusals: counts and logs messages that can't be read.
    :param clock: a monotonic clock, in seconds.
    :raises ValueError: if the URL is malformed.
    """

    reaches_others = True

    def __init__(
        self,
        node: LocalNode,
        url: str,
        options: Options,
        *,
        operations: LocalOperations,
        patience: Patience,
        refusals: Refusals,
        clock: Callable[[], float],
        on_return: Callable[[], None],
    ) -> None:
        self._node = node
        self._connect = connector(url, READ_TIMEOUT, 2 * options.max_queued_bytes)
        self._patience = patience
        self._refusals = refusals
        self._clock = clock
        self._max_size = options.max_queued_bytes
        self._uid = secrets.token_urlsafe(UID_LENGTH)[:UID_LENGTH]
        # What each of our messages begins with: MessagePack's two headers, of the array and of its
        # first string, and the uid.
        own_head = encode_broadcast(Broadcast(self._uid, "/"), [])[: 2 + UID_LENGTH]
        self._channels = ChannelNames(options.broker_prefix)
        self._link = Link(url, clock, on_return)
        all_channels = self._channels.all()
        self._sender = Sender(self._link, options.broker_max_queued_bytes, all_channels, refusals)
        self._listener = Listener(
            self._link,
            patience,
            own_head,
            all_channels=all_channels,
            heard=self._heard,
        )
        self._burst = Burst(node)
        self._max_time = options.max_time_per_turn
        # Since when the listener's greenlet has worked without a turn for others; its waits for
        # messages don't count.
        self._turn_began = self._waits_since = clock()
        self._answerer = Answerer(
            node,
            operations,
            self._channels,
            self._sender.publish,
            self._decode_event,
            refusals,
            patience=patience,
            clock=clock,
            max_time=options.max_time_per_turn,
        )
        self._inquiries: dict[str, tuple[str, Inquiry]] = {}  # by request id, behind a namespace
        self._pinged_at = self._swept_at = clock()
        self._crowded_above = MAX_MORE_TOPICS  # subscriptions from which on the next sweep is due
        # Namespaces and their channels that nobody wanted at the last sweep, or since.
        self._unwanted: set[tuple[str, str | None]] = set()
        self._permanent: frozenset[str] = frozenset()  # namespaces that are always listened to
        self._greenlets: list[gevent.Greenlet[..., None]] = []
        self._heard_count = 0

    def start(self, namespaces: Iterable[str]) -> None:
        """Connect in the background; wait a moment until both connections are made.

        :param namespaces: those that clients may join at any time.
        """
        self._permanent = frozenset(namespaces)
        for namespace in self._permanent:
            self._add_namespace(namespace)
        for part in (self._sender, self._listener):
            self._greenlets.append(gevent.spawn(self._link.keep_connected, part, self._connect))
        self._greenlets.append(gevent.spawn(self._keep_up))
        can_send = Event()
        self._sender.query(Query(pack(b"PING"), lambda reply: can_send.set()))
        until = self._clock() + START_TIMEOUT
        for name in list(self._listener.topics):
            self._wait(name, max(0.0, until - self._clock()))
        self._patience.wait(can_send, max(0.0, until - self._clock()))

    def stop(self, timeout: float) -> None:
        """Send what waits, for so many seconds, then disconnect."""
        self._sender.close()
        self._link.stopping.wait(timeout)
        self._link.stopping.set()
        gevent.killall(self._greenlets)

    def leave_to_parent(self) -> None:
        """Let go of the connections (``Broker``): Redis would count this process as a server."""
        self._link.leave_to_parent()

    def publish(self, envelope: Envelope) -> None:
        """Deliver the envelope to local sockets at once, and to other processes soon (``Broker``).

        :raises TypeError: if an argument can't be encoded; then it was sent to nobody.
        :raises ValueError: if it is larger than what clients or other processes take; likewise.
        """
        outgoing, data = self._node.encode_with_values(
            envelope.namespace, envelope.event_name, envelope.args
        )
        broadcast = to_broadcast(envelope, self._uid)
        if broadcast is None:
            return
        channel = self._channels.broadcast(broadcast.namespace, broadcast.rooms)
        message = encode_broadcast(broadcast, data)
        self._node.verify_for_others(envelope.event_name, message)
        # Before it is delivered, when others may run: they must not publish before it, nor change
        # its arguments.
        self._sender.publish(channel, message)
        self._node.deliver_encoded(envelope, (outgoing,), volatile=envelope.volatile)
        if self._sender.is_crowded and self._patience.may_wait():
            self._patience.let_others_run()

    def tell(self, namespace: str, request: Request) -> None:
        """Publish a request (``Broker``)."""
        request.uid = self._uid
        self._sender.publish(self._channels.request(namespace), encode_request(request))

    def ask(
        self,
        namespace: str,
        question: Question,
        timeout: float,
        acknowledged: Callable[[Response], None] | None = None,
    ) -> Responses:
        """Publish a request, and wait for the responses to it (``Broker``).

        Other servers are counted by their subscriptions to the channel of requests, as in Node.
        """
        question.uid = self._uid
        channel, request_id, inquiry = (
            self._channels.request(namespace),
            question.request_id,
            Inquiry(acknowledged),
        )
        assert isinstance(request_id, str)
        message = encode_request(question)
        self._inquiries[request_id] = namespace, inquiry
        try:
            self.listen(namespace)
            if self._sender.is_lost or self._listener.is_lost:
                return inquiry.responses
            own = int(self._listener.is_confirmed(channel))

            def count(reply: Any) -> None:
                match reply:
                    case None:
                        inquiry.count(None)
                    case [bytes(), int(servers)]:
                        inquiry.count(servers - own)
                    case _:
                        raise not_redis()

            self._sender.query(Query(pack(b"PUBSUB", b"NUMSUB", channel), count))
            if self._sender.publish(channel, message):
                self._patience.wait(inquiry.done, timeout)
        finally:
            del self._inquiries[request_id]
        return inquiry.responses

    def listen(self, namespace: str, channel: str | None = None, *, wait: bool = True) -> None:
        """Return when what other processes publish on a channel arrives here (``Broker``)."""
        self._unwanted.discard((namespace, channel))
        if channel is None:
            name = self._channels.broadcast(namespace)
            if name not in self._listener.topics:
                self._add_namespace(namespace)
        else:
            name = self._channels.broadcast(namespace, (channel,))
            if len(channel.encode()) == SOCKET_ID_LENGTH:
                return  # heard by the sockets' pattern
            if name not in self._listener.topics:
                self._listener.add(name, Topic(namespace, channel))
        if wait and not self._listener.is_confirmed(name) and self._patience.may_wait():
            self._wait(name, CONFIRMATION_TIMEOUT)

    def count(self, snapshot: Snapshot) -> None:
        """Add the broker's state and counters to those of the server."""
        can_send, can_receive = self._sender.is_connected, self._listener.is_connected
        snapshot["broker_connected"] = int(can_send and can_receive)
        snapshot["broker_can_send"] = int(can_send)
        snapshot["broker_can_receive"] = int(can_receive)
        snapshot["broker_losses"] = self._link.losses
        snapshot["broker_subscriptions"] = len(self._listener.topics)
        snapshot["broker_queued_bytes"] = self._sender.queued_bytes
        snapshot["broker_sent"] = self._sender.sent
        snapshot["broker_unsent"] = self._sender.unsent
        snapshot["broker_heard"] = self._heard_count

    def _add_namespace(self, namespace: str) -> None:
        """Listen to what is for everyone in a namespace and for single sockets of it, and to what
        other servers ask and answer.
        """
        common = Topic(namespace, is_vital=namespace in self._permanent)
        sockets, *responses, requests, everyone = self._names(namespace, None)
        self._listener.add(sockets, common._replace(is_pattern=True))
        for name in responses:
            self._listener.add(name, common._replace(kind=Kind.RESPONSE))
        self._listener.add(requests, common._replace(kind=Kind.REQUEST))
        # The last one, because others wait for it.
        self._listener.add(everyone, common)

    def _names(self, namespace: str, channel: str | None) -> list[bytes]:
        """Return what to subscribe to for a channel; ``None``: for a namespace."""
        names = self._channels
        if channel is not None:
            return [names.broadcast(namespace, (channel,))]
        return [
            names.to_sockets(namespace),
            names.response(namespace),
            names.response(namespace, self._uid),
            names.request(namespace),
            names.broadcast(namespace),
        ]

    def _wait(self, name: bytes, timeout: float) -> None:
        if not (self._listener.is_lost or self._listener.is_confirmed(name)):
            self._listener.wait(name, timeout)

    # --- In a greenlet of its own -------------------------------------------------------------

    def _keep_up(self) -> None:
        """Take a turn whenever there are subscriptions to send or pings are due, whichever of the
        connections is lost.
        """
        while True:
            due = self._pinged_at + PING_INTERVAL - self._clock()
            self._listener.wait_for_commands(max(0.0, due))
            try:
                self._take_turn()
            except Exception:  # a mistake of ours must not leave the process deaf
                logger.exception("Internal error in a connection to Redis")

    def _take_turn(self) -> None:
        """Send subscriptions and pings; look from time to time for subscriptions that nobody needs.

        It waits while the listener's connection is full, and never for the sender's.
        """
        now = self._clock()
        if now - self._pinged_at >= PING_INTERVAL:
            self._pinged_at = now
            self._sender.ping()
            self._listener.ping()
        is_crowded = len(self._listener.topics) > self._crowded_above
        if is_crowded or now - self._swept_at > SWEEP_INTERVAL:
            self._swept_at = now
            self._sweep(keeps_unwanted=not is_crowded)
            self._crowded_above = len(self._listener.topics) + MAX_MORE_TOPICS
        self._listener.flush()

    def _sweep(self, *, keeps_unwanted: bool) -> None:
        """Unsubscribe from what nobody here wants; let others run from time to time.

        Whoever is put on a channel, or asks in a namespace, is there before it is listened to.

        :param keeps_unwanted: whether to keep what somebody has wanted since the last sweep.
        """
        for number, topic in enumerate(list(self._listener.topics.values())):
            if number % SWEPT_AT_ONCE == SWEPT_AT_ONCE - 1:
                self._listener.flush()
                gevent.sleep(0)
            namespace, channel, is_pattern, kind, _ = topic
            if is_pattern or kind is not Kind.BROADCAST:  # goes with its namespace
                continue
            key = namespace, channel
            if self._is_wanted(namespace, channel):
                self._unwanted.discard(key)
            elif keeps_unwanted and key not in self._unwanted:
                self._unwanted.add(key)
            else:
                self._unwanted.discard(key)
                for name in self._names(namespace, channel):
                    self._listener.remove(name)

    def _is_wanted(self, namespace: str, channel: str | None) -> bool:
        """Return whether somebody here needs a channel, or a namespace."""
        return self._node.is_wanted(namespace, channel) or (
            channel is None
            and (
                namespace in self._permanent
                or any(namespace == other for other, _ in self._inquiries.values())
            )
        )

    # --- In the listener's greenlet -----------------------------------------------------------

    def _heard(self, messages: Sequence[Heard]) -> None:
        """Deliver what other processes have published; let others run from time to time."""
        self._turn_began += self._clock() - self._waits_since
        try:
            for topic, channel, message in messages:
                self._take(topic, channel, message)
                if self._clock() - self._turn_began > self._max_time:
                    self._give_turn()
        finally:  # whatever that raises
            self._burst.end()
            self._waits_since = self._clock()

    def _give_turn(self) -> None:
        """Let others run, if they have waited for as long as a turn may take; after large work for
        longer, so that they may ask and be answered more than once.
        """
        late = self._clock() - self._turn_began - self._max_time
        if late > 0.0:
            self._burst.end()
            self._patience.let_others_run(PAUSE * late)
            self._turn_began = self._clock()

    def _take(self, topic: Topic, channel: bytes, message: bytes) -> None:
        """Take what another process has published."""
        namespace, kind = topic.namespace, topic.kind
        if topic.is_pattern and not self._is_wanted_room(namespace, channel):
            return
        self._heard_count += 1
        try:
            if len(message) > self._max_size:
                raise DecodeError(f"message of {len(message)} bytes")
            if kind is Kind.BROADCAST:
                broadcast, data = decode_broadcast(message)
                if broadcast.namespace == namespace and (
                    topic.channel is not None  # we are subscribed because somebody is on it
                    or topic.is_pattern
                    or are_wanted(broadcast.rooms, namespace, self._node)
                ):
                    event = data if isinstance(data, list) else self._decode_event(data)
                    self._burst.add(broadcast, event)
                return
            self._burst.end()
            if kind is Kind.REQUEST:
                self._take_request(namespace, message)
            else:
                self._take_response(message)
        except (DecodeError, TypeError, ValueError) as error:
            why = f"message on {show(channel.decode(errors='replace'))}: {error}"
            self._refusals.add(RefusalKind.CLUSTER, "Redis", why)

    def _decode_event(self, data: Raw) -> list[Any]:
        """Decode an event that somebody here gets; let others run between the parts of the work on
        a large one.

        :raises DecodeError: if it is malformed, or takes too much memory.
        """
        if len(data) <= LARGE:
            return decode_event(data)
        self._give_turn()
        _verify_decoded_size(bytes(data))
        self._give_turn()
        event = decode_event(data, self._give_turn)
        self._give_turn()
        return event

    def _take_request(self, namespace: str, message: bytes) -> None:
        _verify_decoded_size(message)
        request = decode_request(message)
        if request.uid != self._uid:  # what it asked for itself was done here before
            self._answerer.handle(namespace, request)

    def _take_response(self, message: bytes) -> None:
        """Pass a response on to who waits for it; on the common channel, others' come as well."""
        found = self._inquiries.get(decode_request_id(message))
        if found is not None:
            _verify_decoded_size(message)
            self._give_turn()
            found[1].take(decode_response(message, self._give_turn))

    def _is_wanted_room(self, namespace: str, channel: bytes) -> bool:
        """Return whether the room of a channel of Redis is a socket here, or has one."""
        room = channel[-SOCKET_ID_LENGTH - 1 : -1].decode(errors="replace")
        return self._node.has_client(room, namespace) or self._node.is_wanted(namespace, room)


def _verify_decoded_size(data: bytes) -> None:
    """Raise ``DecodeError`` if JSON that begins with a brace, or MessagePack, takes too much memory
    once it is decoded.
    """
    size = excessive_size(data)
    if size is not None:
        raise DecodeError(f"message that takes about {size} bytes once it is decoded")
