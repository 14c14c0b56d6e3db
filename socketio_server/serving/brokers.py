"""Makes the broker that ``SOCKETIO_BROKER_URL`` names."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.core.exceptions import ImproperlyConfigured

from socketio_server.cluster.broker import Broker, LocalNode, LocalOperations, Patience
from socketio_server.cluster.memory import MemoryBroker
from socketio_server.net.refusals import Refusals
from socketio_server.net.statistics import Snapshot
from socketio_server.options import Options

NOT_INSTALLED = (
    'SOCKETIO_BROKER_URL needs redis-py and hiredis: `pip install "django-socketio-server[redis]"`.'
)


def make_broker(
    node: LocalNode,
    options: Options,
    *,
    operations: LocalOperations,
    patience: Patience,
    refusals: Refusals,
    clock: Callable[[], float],
    on_return: Callable[[], None],
) -> Broker:
    """Return the broker of a server; the libraries are imported only if the settings ask for it.

    :param on_return: called when it was lost, and is back; must not wait.
    :raises ImproperlyConfigured: if a library is not installed, or can't understand the URL.
    """
    if options.broker_url is None:
        return MemoryBroker(node)
    with _explained():
        from socketio_server.cluster.redis.broker import RedisBroker

        return RedisBroker(
            node,
            options.broker_url,
            options,
            operations=operations,
            patience=patience,
            refusals=refusals,
            clock=clock,
            on_return=on_return,
        )


def describe_broker(options: Options, snapshot: Snapshot) -> str:
    """Return where a server's broker is, without its password, and whether it is connected."""
    if options.broker_url is None:
        return "none"
    from socketio_server.cluster.redis.pools import describe

    state = "connected" if snapshot["broker_connected"] else "not connected"
    return f"{describe(options.broker_url)} ({state})"


def make_publisher(node: LocalNode, url: str, prefix: str, *, clock: Callable[[], float]) -> Broker:
    """Return the broker of a process without a server.

    :raises ImproperlyConfigured: as ``make_broker``.
    """
    with _explained():
        from socketio_server.cluster.redis.publisher import RedisPublisher

        return RedisPublisher(node, url, prefix, clock)


@contextmanager
def _explained() -> Iterator[None]:
    """Raise ``ImproperlyConfigured`` if a library is not installed, or can't understand the URL."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImproperlyConfigured(NOT_INSTALLED) from error
    except ValueError as error:
        raise ImproperlyConfigured(f"SOCKETIO_BROKER_URL can't be understood: {error}") from error
