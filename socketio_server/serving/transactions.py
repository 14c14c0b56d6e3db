"""Sends that wait until a database transaction is committed (``transaction.on_commit``)."""

from collections.abc import Callable, Iterator
from weakref import WeakKeyDictionary

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

_waiting: WeakKeyDictionary[BaseDatabaseWrapper, int] = WeakKeyDictionary()
"""The bytes of deferred sends by connection. It may be more than what waits: nothing tells of a
rollback, and what is sent is not subtracted."""


class DeferredSend:
    """A send as Django keeps it until the commit."""

    __slots__ = ("_send", "is_waiting", "size")

    def __init__(self, send: Callable[[], None], size: int) -> None:
        self._send = send
        self.size = size
        self.is_waiting = True
        """Whether it was not sent. (Tests run what waits, and Django keeps it.)"""

    def __call__(self) -> None:
        """Send it: the transaction is committed."""
        self.is_waiting = False
        self._send()


class DjangoTransactions:
    """The transactions of the caller's database connections (``sockets.transactions``).

    :param max_bytes: the bytes that may wait for one transaction.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    def is_open(self, using: str | None = None) -> bool:
        """Return whether the caller is inside of a transaction, without opening a connection.

        :raises ConnectionDoesNotExist: if there is no such database.
        """
        connection = _find_connection(using or DEFAULT_DB_ALIAS)
        return connection is not None and (
            connection.in_atomic_block
            # The project's own transaction, of which nobody knows the end: defer() raises.
            or (connection.connection is not None and not connection.autocommit)
        )

    def defer(self, send: Callable[[], None], size: int, using: str | None = None) -> None:
        """Call ``send`` when the caller's transaction is committed.

        :raises RuntimeError: if too many bytes wait for the transaction.
        :raises TransactionManagementError: if the connection is not in autocommit mode.
        """
        connection = transaction.get_connection(using)
        total = _waiting.get(connection, 0) + size
        if total > self._max_bytes:
            total = size + _count_waiting(connection)
        if total > self._max_bytes:
            raise RuntimeError(
                f"the messages that wait for the commit take {total} bytes, and no more than "
                f"{self._max_bytes} (SOCKETIO_MAX_QUEUED_BYTES) may: send less in one transaction, "
                "or with on_commit=False"
            )
        transaction.on_commit(DeferredSend(send, size), using=using)
        _waiting[connection] = total


def _find_connection(alias: str) -> BaseDatabaseWrapper | None:
    """Return the caller's connection to a database; ``None`` if it has not used it yet."""
    if alias not in connections.settings:
        return connections[alias]  # raises
    found = (each for each in connections.all(initialized_only=True) if each.alias == alias)
    return next(found, None)


def count_waiting() -> int:
    """Return how many sends wait for commits of the caller's connections."""
    found = connections.all(initialized_only=True)
    return sum(each.is_waiting for connection in found for each in _deferred(connection))


def _count_waiting(connection: BaseDatabaseWrapper) -> int:
    """Return the bytes of the sends that wait for a connection's commit."""
    return sum(each.size for each in _deferred(connection))


def _deferred(connection: BaseDatabaseWrapper) -> Iterator[DeferredSend]:
    callbacks = (callback for _, callback, *_ in connection.run_on_commit)
    return (each for each in callbacks if isinstance(each, DeferredSend))
