"""Publishes from processes without a server: Celery workers, commands, the shell, WSGI workers.

Needs no event loop: each call waits until Redis has taken the message, or can't be reached.
"""

from collections.abc import Callable, Iterable

from redis import Redis

from socketio_server.cluster.broker import Envelope, LocalNode
from socketio_server.cluster.envelopes import to_broadcast
from socketio_server.cluster.redis_connections import FAULTS, connection_pool, describe
from socketio_server.exceptions import BrokerUnavailable
from socketio_server.net.statistics import Snapshot
from socketio_server.protocol.redis_adapter import ChannelNames, encode_broadcast

UID = "emitter"
"""The name of all that publish and don't listen, as in Node."""

TIMEOUT = 1.0
"""Seconds that Redis may take."""

PAUSE = 1.0
"""Seconds after a fault in which Redis is not asked again, because each caller would wait."""


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
        self._name = describe(url)
        self._channels = ChannelNames(prefix)
        self._clock = clock
        self._redis = Redis(connection_pool=connection_pool(url, TIMEOUT))
        self._failed: tuple[float, Exception] | None = None  # the last fault, and its time

    def publish(self, envelope: Envelope) -> None:
        """Publish an envelope (``Broker``).

        :raises TypeError: if an argument can't be encoded.
        :raises BrokerUnavailable: if Redis can't be reached.
        """
        broadcast = to_broadcast(envelope, UID, self._node)
        if broadcast is None:
            return
        channel = self._channels.broadcast(broadcast.namespace, broadcast.rooms)
        message = encode_broadcast(broadcast)
        if self._failed is not None:
            when, error = self._failed
            if self._clock() - when < PAUSE:
                raise self._unavailable(error)
        try:
            self._redis.publish(channel, message)
        except FAULTS as fault:
            self._failed = self._clock(), fault
            raise self._unavailable(fault) from fault
        self._failed = None

    def listen(self, namespace: str, channel: str | None = None) -> None:
        """Do nothing: there are no clients here (``Broker``)."""

    def start(self, namespaces: Iterable[str]) -> None:
        """Do nothing: connections are made when they are needed (``Broker``)."""

    def stop(self, timeout: float) -> None:
        """Close the connections (``Broker``)."""
        self._redis.close()

    def count(self, snapshot: Snapshot) -> None:
        """Add nothing (``Broker``)."""

    def _unavailable(self, error: Exception) -> BrokerUnavailable:
        return BrokerUnavailable(f"Redis ({self._name}) can't be reached: {error}")
