"""What tells that the rights of users have changed, read for many sessions at once.

Sessions in the database take few queries; other stores are asked once for each session. So are
backends with a ``get_user`` of their own, once for each user.

A fingerprint holds what Django itself decides by: whether the session is there and whose it is,
whether its backend finds the user, the password (by ``get_session_auth_hash``), ``is_active`` and
the like, and permissions.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib import auth
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import DataError
from django.db.models import ManyToManyField
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from socketio_server.serving.around_events.identity import Identity
from socketio_server.serving.around_events.session_users import make_anonymous, renew
from socketio_server.serving.around_events.sessions import may_be_stored

FLAGS = ("is_active", "is_staff", "is_superuser")
"""The attributes of a user that decide what it may."""


class Fingerprint(NamedTuple):
    """What decides what a client may."""

    user: Hashable
    """Who it is, with its password and flags; ``None``: anonymous."""
    permissions: frozenset[Hashable]
    """Its permissions and groups."""

    def tells_of(self, user: Any) -> bool:
        """Return whether this is what decides what a user may, anonymous or not, as far as the user
        itself tells.
        """
        return self.user == _describe(user)


class _Account(NamedTuple):
    """Where a client's user is read."""

    backend: str | None
    """The path of the backend that let the user in; ``None``: the session does not name the user, a
    token does say."""
    key: Hashable
    """The user's primary key."""


def read(identities: Sequence[Identity]) -> list[tuple[Fingerprint, Any]]:
    """Read the fingerprints and users of clients anew: each session and each user once."""
    model = auth.get_user_model()
    sessions = _read_sessions(identities)
    own = [sessions.get(identity.key or "", {}) for identity in identities]
    accounts = [
        _account_of(identity, session, model)
        for identity, session in zip(identities, own, strict=True)
    ]
    lenders = [
        _account_of_session(session, model) if identity.is_borrowed else None
        for identity, session in zip(identities, own, strict=True)
    ]
    users = _read_users({each for each in (*accounts, *lenders) if each is not None}, model)
    permissions = _read_permissions(
        {user.pk for user in users.values() if isinstance(user, model)}, model
    )
    found: list[tuple[Fingerprint, Any]] = []
    for identity, session, account, lender in zip(identities, own, accounts, lenders, strict=True):
        user = _see(identity, session, users.get(account), users.get(lender))
        granted = permissions.get(getattr(user, "pk", None), frozenset[Hashable]())
        found.append((Fingerprint(_describe(user), granted), user))
    return found


def _see(identity: Identity, session: Mapping[str, Any], user: Any, lender: Any) -> Any:
    """Return a client's user, anonymous or not, as its events see it.

    :param user: as it was read; ``None``: it was not found, or there is nothing to read.
    :param lender: whom the session names, if the user is borrowed.
    """
    kept = identity.kept
    if identity.is_borrowed:
        may_borrow = lender is not None and _fits(lender, session) and identity.is_lent_by(lender)
        if may_borrow and not isinstance(kept, auth.get_user_model()):
            return kept
        user = user if may_borrow else None
    elif kept is None or identity.goes_with(session):
        user = user if user is not None and _fits(user, session) else None
    elif not isinstance(kept, auth.get_user_model()) or kept.pk is None:
        return kept  # it is no user that can be read again with the others
    if user is None:
        return make_anonymous()
    return user if kept is None else renew(kept, user)


def _read_users(accounts: Collection[_Account], model: Any) -> dict[_Account | None, Any]:
    """Read users as Django does: by the backend that let them in, but those of its own backend in
    one query.
    """
    paths = {path for path, _ in accounts if path is not None}
    backends: dict[str, Any] = {path: auth.load_backend(path) for path in paths}
    own = {path for path in paths if _reads_as_django(backends[path])}
    tokens = _in_bulk(model._base_manager, {key for path, key in accounts if path is None})
    known = _in_bulk(model._default_manager, {key for path, key in accounts if path in own})
    found: dict[_Account | None, Any] = {}
    for account in accounts:
        path, key = account
        if path is None:
            found[account] = tokens.get(key)
        elif path not in own:
            with suppress(Exception):  # that client is verified alone, which tells of it
                found[account] = backends[path].get_user(key)
        elif key in known and backends[path].user_can_authenticate(known[key]):
            found[account] = known[key]
    return found


def _reads_as_django(backend: Any) -> bool:
    from django.contrib.auth.backends import ModelBackend  # can't be imported before the models

    return getattr(type(backend), "get_user", None) is ModelBackend.get_user


def _in_bulk(manager: Any, keys: Collection[Hashable]) -> dict[Hashable, Any]:
    return {user.pk: user for user in manager.filter(pk__in=keys)} if keys else {}


def _fits(user: Any, session: Mapping[str, Any]) -> bool:
    """Return whether a session is its user's still, as ``django.contrib.auth.get_user`` decides: it
    ends with the user's password.
    """
    if not hasattr(user, "get_session_auth_hash"):
        return True
    hashes = [user.get_session_auth_hash()]
    if hasattr(user, "get_session_auth_fallback_hash"):
        hashes += user.get_session_auth_fallback_hash()
    stored = session.get(auth.HASH_SESSION_KEY) or ""
    return any(constant_time_compare(stored, each) for each in hashes)


def _describe(user: Any) -> Hashable:
    if not getattr(user, "is_authenticated", False):
        return None
    password = user.get_session_auth_hash() if hasattr(user, "get_session_auth_hash") else None
    return user.pk, password, *(getattr(user, flag, None) for flag in FLAGS)


def _account_of(identity: Identity, session: Mapping[str, Any], model: Any) -> _Account | None:
    """Return where a client's user is read; ``None``: nowhere, it is anonymous say."""
    kept = identity.kept
    if kept is None or identity.goes_with(session):
        return _account_of_session(session, model)
    return _to_account(None, kept.pk if isinstance(kept, model) else None, model)


def _account_of_session(session: Mapping[str, Any], model: Any) -> _Account | None:
    backend = session.get(auth.BACKEND_SESSION_KEY)
    if backend not in settings.AUTHENTICATION_BACKENDS:
        return None
    return _to_account(backend, session.get(auth.SESSION_KEY), model)


def _to_account(backend: str | None, written: Any, model: Any) -> _Account | None:
    try:  # a session has it as text, and a token may have
        return None if written is None else _Account(backend, model._meta.pk.to_python(written))
    except ValidationError:
        return None


def _read_sessions(identities: Iterable[Identity]) -> dict[str, Mapping[str, Any]]:
    """Return the data of the clients' sessions, by key, those that are gone left out."""
    stores = {
        each.key: each.store
        for each in identities
        if each.key and each.store is not None and may_be_stored(each.key)
    }
    found: dict[str, Mapping[str, Any]] = {}
    for store in set(stores.values()):
        keys = [key for key, its_store in stores.items() if its_store is store]
        if hasattr(store, "get_model_class"):
            found.update(_read_rows(store, keys))
        else:
            found.update((key, store(key).load()) for key in keys)
    return found


def _read_rows(store: Any, keys: Sequence[str]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return the keys and data of sessions in the database.

    Clients name any key by their cookies: one that the database refuses fails alone.
    """
    sessions = store.get_model_class()._base_manager
    try:
        rows = list(sessions.filter(session_key__in=keys, expire_date__gt=timezone.now()))
    except (DataError, ValidationError, ValueError):
        if len(keys) == 1:
            return []
        middle = len(keys) // 2
        return [*_read_rows(store, keys[:middle]), *_read_rows(store, keys[middle:])]
    return [(row.session_key, store().decode(row.session_data)) for row in rows]


def _read_permissions(keys: Collection[Any], model: Any) -> dict[Any, frozenset[Hashable]]:
    """Return the permissions and groups of users, by primary key."""
    found: dict[Any, set[Hashable]] = {key: set() for key in keys}
    for key, permission in _pairs(members_field(model, "user_permissions"), found):
        found[key].add(permission)
    groups = members_field(model, "groups")
    members = list(_pairs(groups, found))
    inherited: dict[Any, set[Hashable]] = {}
    if members:
        group_permissions = members_field(groups.related_model, "permissions")
        for group, permission in _pairs(group_permissions, {group for _, group in members}):
            inherited.setdefault(group, set()).add(permission)
    for key, group in members:
        found[key].add(("group", group))
        found[key] |= inherited.get(group, set())
    return {key: frozenset(permissions) for key, permissions in found.items()}


def _pairs(field: Any, keys: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    """Return the keys of both sides of a many-to-many field, for these keys of its own side."""
    if field is None or not keys:
        return ()
    own, other = field.m2m_field_name(), field.m2m_reverse_field_name()
    rows = field.remote_field.through._base_manager.filter(**{f"{own}__in": list(keys)})
    pairs: Iterable[tuple[Any, Any]] = rows.values_list(own, other)
    return pairs


def members_field(model: Any, name: str) -> Any:
    """Return a many-to-many field; ``None`` if the project's own model has none of that name."""
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return field if isinstance(field, ManyToManyField) else None
