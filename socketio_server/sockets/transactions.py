"""The interface between the sending functions and the caller's database transactions."""

from collections.abc import Callable
from typing import Protocol


class Transactions(Protocol):
    """Puts sends off until the caller's transaction is committed; the layer above knows Django."""

    def is_open(self, using: str | None = None) -> bool:
        """Return whether the caller is inside of a transaction.

        :param using: the alias of the database; ``None``: the default one.
        """

    def defer(self, send: Callable[[], None], size: int, using: str | None = None) -> None:
        """Call ``send`` when the caller's transaction is committed; never after a rollback.

        :param size: the bytes that wait meanwhile.
        :param using: as in ``is_open``.
        :raises RuntimeError: if too many bytes wait for the transaction.
        """
