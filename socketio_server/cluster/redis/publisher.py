"""Publishes from processes without a server: Celery workers, commands, the shell, WSGI workers.

Needs no event loop: each call waits until Redis has taken the message, or can't be reached. It
listens only while it waits for the responses to a request, and never to requests, because those who
do are servers.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from redis import Redis, ResponseError
from redis.client import PubSub

from socketio_server.cluster.broker import Envelope, LocalNode, Responses
from socketio_server.cluster.envelopes import to_broadcast
from socketio_server.cluster.inquiries import Inquiry
from socketio_server.cluster.redis.pools import FAULTS, connection_pool, describe
from socketio_server.cluster.redis.remedies import explain_fault, explain_permission
from socketio_server.exceptions import BrokerUnavailable, DecodeError
from socketio_server.net.statistics import Snapshot
from socketio_server.protocol.cluster_requests import (
    Question,
    Request,
    Response,
    ServerEvent,
    decode_request_id,
    decode_response,
    encode_request,
)
from socketio_server.protocol.redis_adapter import UID_LENGTH, ChannelNames, encode_broadcast

UID = "emitter"
"""The name of all that publish and don't listen, as in Node."""

TIMEOUT = 1.0
"""Seconds that Redis may take."""

PAUSE = 1.0
"""Seconds after Redis was not reached in which it is not asked again, because each caller would
wait."""

MAX_RESPONSE = 16_000_000
"""Bytes of a response; longer ones are ignored."""


class RedisPublisher:
    """Publishes to the servers of a cluster (``Broker``).

    Threads may share it, and so may processes that are forked: the pool of connections of redis-py
    sees to both.

    :param node: encodes values; it has no clients.
    :param clock: a monotonic clock, in seconds.
    :raises ValueError: if the URL is malformed.
    """

    reaches_others = True

    def __init__(self, node: LocalNode, url: str, prefix: str, clock: Callable[[], float]) -> None:
        self._node = node
        self._url = url
        self._name = describe(url)
        self._channels = ChannelNames(prefix)
        self._clock = clock
        self._redis = Redis(connection_pool=connection_pool(url, TIMEOUT))
        self._failed: tuple[float, Exception] | None = None  # the last fault, and its time

    def publish(self, envelope: Envelope) -> None:
        """Publish an envelope (``Broker``).

        :raises TypeError: if an argument can't be encoded.
        :raises ValueError: if it is larger than what other processes take.
        :raises BrokerUnavailable: if Redis can't be reached, or refuses.
        """
        _, data = self._node.encode_with_values(
            envelope.namespace, envelope.event_name, envelope.args
        )
        broadcast = to_broadcast(envelope, UID)
        if broadcast is None:
            return
        channel = self._channels.broadcast(broadcast.namespace, broadcast.rooms)
        message = encode_broadcast(broadcast, data)
        self._node.verify_for_others(envelope.event_name, message)
        with self._reachable():
            self._redis.publish(channel, message)

    def tell(self, namespace: str, request: Request) -> None:
        """Publish a request (``Broker``).

        :raises BrokerUnavailable: if Redis can't be reached, or refuses.
        """
        if isinstance(request, ServerEvent):
            request.uid = UID
        with self._reachable():
            self._redis.publish(self._channels.request(namespace), encode_request(request))

    def ask(
        self,
        namespace: str,
        question: Question,
        timeout: float,
        acknowledged: Callable[[Response], None] | None = None,
    ) -> Responses:
        """Publish a request, and wait for the responses to it (``Broker``).

        :raises BrokerUnavailable: if Redis can't be reached, or refuses.
        """
        question.uid = secrets.token_urlsafe(UID_LENGTH)[:UID_LENGTH]
        channel = self._channels.request(namespace)
        responses = [
            self._channels.response(namespace),
            self._channels.response(namespace, question.uid),
        ]
        inquiry = Inquiry(acknowledged)
        until = self._clock() + timeout
        rules = "+publish +subscribe +unsubscribe +pubsub"
        with self._reachable(rules), self._redis.pubsub() as ears:  # type: ignore[no-untyped-call]
            ears.subscribe(*responses)
            for _ in responses:
                ears.get_message(timeout=TIMEOUT)
            ((_, servers),) = self._redis.pubsub_numsub(channel)
            inquiry.count(servers)
            self._redis.publish(channel, encode_request(question))
            while not inquiry.done.is_set() and (left := until - self._clock()) > 0:
                self._hear(ears, question, inquiry, left)
        return inquiry.responses

    def _hear(self, ears: PubSub, question: Question, inquiry: Inquiry, timeout: float) -> None:
        """Wait for the next message; ignore responses to others, and what can't be read."""
        message = ears.get_message(timeout=timeout)
        is_response = message is not None and message["type"] == "message"
        if is_response and len(message["data"]) <= MAX_RESPONSE:
            with suppress(DecodeError):
                if decode_request_id(message["data"]) == question.request_id:
                    inquiry.take(decode_response(message["data"]))

    @contextmanager
    def _reachable(self, rules: str = "+publish") -> Iterator[None]:
        """Note that Redis can't be reached, and keep away from it for a while.

        :param rules: access rules that are needed.
        :raises BrokerUnavailable: if it can't be reached; or if it refuses, which concerns nobody
            else.
        """
        if self._failed is not None:
            when, error = self._failed
            if self._clock() - when < PAUSE:
                raise self._unavailable(error)
        try:
            yield
        except ResponseError as refusal:
            reason = explain_permission(refusal, f"{rules} &{self._channels.all().decode()}")
            raise BrokerUnavailable(
                f"Redis ({self._name}) has refused a command: {reason}"
            ) from refusal
        except FAULTS as fault:
            self._failed = self._clock(), fault
            raise self._unavailable(fault) from fault
        self._failed = None

    def listen(self, namespace: str, channel: str | None = None, *, wait: bool = True) -> None:
        """Do nothing: there are no clients here (``Broker``)."""

    def start(self, namespaces: Iterable[str]) -> None:
        """Do nothing: connections are made when they are needed (``Broker``)."""

    def stop(self, timeout: float) -> None:
        """Close the connections (``Broker``)."""
        self._redis.connection_pool.disconnect()

    def leave_to_parent(self) -> None:
        """Do nothing: redis-py makes other connections in a forked process (``Broker``)."""

    def count(self, snapshot: Snapshot) -> None:
        """Add nothing (``Broker``)."""

    def _unavailable(self, error: Exception) -> BrokerUnavailable:
        reason = explain_fault(error, self._url)
        return BrokerUnavailable(f"Redis ({self._name}) can't be reached: {reason}")
