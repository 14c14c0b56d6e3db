"""Django sessions that handlers change: saved key by key, because views change them meanwhile.

A view writes back the whole session as it was at the view's start. A handler can't do the same: its
connection lasts for hours.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.sessions.backends import signed_cookies
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db import connections, router, transaction
from django.utils import timezone

if TYPE_CHECKING:
    _Base = SessionBase
else:
    _Base = object

Data = dict[str, Any]

KEPT_KEYS = 1000
"""Sessions of which it is known when events have saved them last."""

logger = logging.getLogger("socketio_server")


class Saves:
    """Which sessions the events of this process have saved, in which order.

    Each client keeps what it has loaded for a while: with this it learns that another client of the
    same session has saved since.
    """

    def __init__(self) -> None:
        self.count = 0
        """How often sessions were saved."""
        self._by_key: dict[str, int] = {}  # the count after the last save
        self._forgotten = 0  # the same of all keys that were forgotten

    def add(self, key: str, loaded_at: int) -> int:
        """Note that a session was saved.

        :param loaded_at: the count when it was loaded.
        :return: the count up to which what the caller has is that of now.
        """
        is_current = not self.has(key, loaded_at)
        self.count += 1
        if len(self._by_key) >= KEPT_KEYS and key not in self._by_key:
            self._by_key.clear()
            self._forgotten = self.count - 1
        self._by_key[key] = self.count
        return self.count if is_current else loaded_at

    def has(self, key: str, since: int) -> bool:
        """Return whether a session was, or may have been, saved after a count."""
        return self._by_key.get(key, self._forgotten) > since


_saves = Saves()


def may_be_stored(key: str) -> bool:
    """Return whether a key, which a client's cookie may name as it likes, can be one that a store
    has made: databases refuse to look for some others, with NUL say.
    """
    return key.isascii() and key.isprintable()


class MergingStore(_Base):
    """Mixin for a project's session store: ``save`` changes those keys only that were changed here.

    A key that was changed both here and by a view keeps the view's value. Values are compared as
    they are stored, because a store gives back a list for a tuple.
    """

    loads: Callable[..., SessionBase]
    """The project's store itself."""

    _loaded: Mapping[str, Any] | None = None  # by key, the value as it was stored

    _uncommitted: Sequence[Mapping[str, Any]] = ()  # what was stored before saves in a transaction

    loaded_at = 0
    """When it was loaded, by the count of saves."""

    @property
    def is_outdated(self) -> bool:
        """Whether another client of the same session has saved it since it was loaded."""
        key = self.session_key
        return self._loaded is not None and key is not None and _saves.has(key, self.loaded_at)

    def load(self) -> Data:
        """Return the stored data, and note it."""
        loaded_at = _saves.count
        key = self.session_key
        if key is None or may_be_stored(key):
            data: Data = super().load()
        else:
            data, self._session_key = {}, None
        self.note(data, loaded_at)
        return data

    def note(self, data: Data, loaded_at: int | None = None) -> None:
        """Note what is stored: later changes are compared with it.

        :param loaded_at: by the count of saves; ``None``: now.
        """
        self.loaded_at = _saves.count if loaded_at is None else loaded_at
        self._loaded = {key: self._form(value) for key, value in data.items()}

    def save(self, must_create: bool = False) -> None:
        """Merge the changes into what is stored by now.

        What is saved in a transaction counts as a change until the commit, because a rollback would
        take it back.

        :raises UpdateError: if the session is stored no more.
        """
        self._notice_rollback()
        key = self.session_key
        if must_create or key is None or self._loaded is None or is_read_only(self):
            super().save(must_create)
            if must_create:
                self.note(self._data())
            return
        before = self._loaded
        if self._changes(before):
            known = (*self._uncommitted, before)
            changed = {key: value for each in known for key, value in self._changes(each).items()}
            with self._locked(key) as stored:
                loaded_at = _saves.count
                data = self._merge(changed, known, stored)
                self._session_cache = data
                super().save()
            self.note(data, _saves.add(key, loaded_at))
            self._await_commit(before)
        self.modified = bool(self._uncommitted)

    def _await_commit(self, before: Mapping[str, Any]) -> None:
        """Remember what was stored before a save until its transaction is committed."""
        using = self._find_transaction()
        if using is not None:
            self._uncommitted = (*self._uncommitted, before)
            transaction.on_commit(partial(self._committed, before), using=using)

    def _committed(self, before: Mapping[str, Any]) -> None:
        self._uncommitted = [each for each in self._uncommitted if each is not before]

    def _notice_rollback(self) -> None:
        """Take back what is known to be stored, if a transaction is over and was not committed."""
        if self._uncommitted and self._find_transaction() is None:
            self._loaded, self._uncommitted = self._uncommitted[0], ()

    def _find_transaction(self) -> str | None:
        """Return the database in whose transaction a save takes part; ``None`` if in none's."""
        if not isinstance(self, DatabaseStore):
            return None
        using = router.db_for_write(self.model)
        return using if connections[using].in_atomic_block else None

    def _data(self) -> Data:
        return dict(self.items())

    def _form(self, value: Any) -> Any:
        """Return a value as the serializer of sessions writes it."""
        return self.serializer().dumps({"": value})

    def _changes(self, loaded: Mapping[str, Any]) -> Data:
        """Return what was changed here, by key; ``_GONE`` where a key was deleted."""
        data = self._data()
        changed: Data = {}
        for key, value in data.items():
            try:
                form = self._form(value)
            except Exception as error:
                error.add_note(
                    f"It is the session's value of {key!r}: store what SESSION_SERIALIZER can write"
                )
                raise
            if form != loaded.get(key):
                changed[key] = value
        return {**changed, **dict.fromkeys(loaded.keys() - data.keys(), _GONE)}

    def _merge(self, changed: Data, known: Sequence[Mapping[str, Any]], stored: Data) -> Data:
        """Return stored data with those changes to which no view's stands in the way.

        :param known: what was stored, as it was read and as it was saved here since.
        """
        merged = dict(stored)
        for key, value in changed.items():
            now = self._form(stored[key]) if key in stored else None
            if all(now != each.get(key) for each in known):
                wanted = None if value is _GONE else self._form(value)
                if wanted not in (now, known[-1].get(key)):
                    logger.warning(_LOST, key)
                continue
            if value is _GONE:
                merged.pop(key, None)
            else:
                merged[key] = value
        return merged

    @contextmanager
    def _locked(self, key: str) -> Iterator[Data]:
        """Return what is stored, which nobody else changes inside the ``with``, with a database.

        :raises UpdateError: if nothing is stored.
        """
        if not isinstance(self, DatabaseStore):
            store = self.loads(key)
            data: Data = store.load()
            if store.session_key is None:
                raise UpdateError
            yield data
            return
        using = router.db_for_write(self.model)
        rows = self.model.objects.using(using)
        rows = rows.filter(session_key=key, expire_date__gt=timezone.now())
        with transaction.atomic(using=using):
            if connections[using].features.has_select_for_update:
                rows = rows.select_for_update()
            else:  # SQLite locks for the first write: a change between reading and writing is lost
                rows.update(session_key=key)
            row = rows.first()
            if row is None:
                raise UpdateError
            yield self.decode(row.session_data)


_LOST = (
    "A handler's change of %r in a session is lost: a view, or another client of the session, has "
    "changed it since the handler's session was read"
)

_GONE = object()
"""Instead of a key's value: it was deleted."""


def is_read_only(session: SessionBase) -> bool:
    """Return whether a session is stored in the client's cookie, which an event can't set."""
    return isinstance(session, signed_cookies.SessionStore)


def merging(store: type[SessionBase]) -> type[MergingStore]:
    """Return a project's class of sessions, with saving that merges."""
    if store not in _MERGING:
        members = {"__module__": store.__module__, "__doc__": store.__doc__, "loads": store}
        _MERGING[store] = type(store.__name__, (MergingStore, store), members)
    return _MERGING[store]


_MERGING: dict[type[SessionBase], type[MergingStore]] = {}
