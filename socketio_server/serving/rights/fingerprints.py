"""What tells that the rights of users have changed, read for many sessions at once.

Sessions in the database take few queries; other stores are asked once for each session.

A fingerprint holds what Django itself decides by: whether the session is there and whose it is, the
user's password (by ``get_session_auth_hash``), ``is_active`` and the like, and permissions.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib import auth
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import DataError
from django.db.models import ManyToManyField
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from socketio_server.serving.around_events.identity import Identity
from socketio_server.serving.around_events.sessions import may_be_stored

FLAGS = ("is_staff", "is_superuser")
"""The attributes of an active user that decide what it may."""


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


def read(identities: Sequence[Identity]) -> list[tuple[Fingerprint, Any]]:
    """Read the fingerprints and users of clients anew: each session and each user once."""
    model = auth.get_user_model()
    sessions = _read_sessions(identities)
    own = [sessions.get(identity.key or "", {}) for identity in identities]
    pairs = list(zip(identities, own, strict=True))
    keys = [_key_of_user(each, session, model) for each, session in pairs]
    lenders = [
        _to_key(session.get(auth.SESSION_KEY), model) if each.is_borrowed else None
        for each, session in pairs
    ]
    wanted = {key for key in (*keys, *lenders) if key is not None}
    users = {user.pk: user for user in model._base_manager.filter(pk__in=wanted)}
    permissions = _read_permissions(users, model)
    found: list[tuple[Fingerprint, Any]] = []
    for identity, session, key, lender in zip(identities, own, keys, lenders, strict=True):
        user, owner = users.get(key), users.get(lender)
        if identity.kept is None and not _fits(user, session):
            user = None
        if identity.is_borrowed and not (
            _describe(owner) and _fits(owner, session) and identity.is_lent_by(owner)
        ):
            user = None
        held = frozenset[Hashable]() if user is None else permissions.get(key, frozenset())
        found.append((Fingerprint(_describe(user), held), user))
    return found


def _fits(user: Any, session: Mapping[str, Any]) -> bool:
    """Return whether a session is its user's still, as ``django.contrib.auth.get_user`` decides:
    it ends with the user's password, and with the backend that let the user in.
    """
    if session.get(auth.BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return False
    if not hasattr(user, "get_session_auth_hash"):
        return True
    hashes = [user.get_session_auth_hash()]
    if hasattr(user, "get_session_auth_fallback_hash"):
        hashes += user.get_session_auth_fallback_hash()
    stored = session.get(auth.HASH_SESSION_KEY) or ""
    return any(constant_time_compare(stored, each) for each in hashes)


def _describe(user: Any) -> Hashable:
    if user is None or not getattr(user, "is_authenticated", False):
        return None
    if not getattr(user, "is_active", True):
        return None
    password = user.get_session_auth_hash() if hasattr(user, "get_session_auth_hash") else None
    return user.pk, password, *(getattr(user, flag, None) for flag in FLAGS)


def _key_of_user(identity: Identity, session: Mapping[str, Any], model: Any) -> Hashable:
    """Return the primary key of a client's user."""
    if identity.kept is not None:
        written = identity.kept.pk if isinstance(identity.kept, model) else None
    else:
        written = session.get(auth.SESSION_KEY)
    return _to_key(written, model)


def _to_key(written: Any, model: Any) -> Hashable:
    try:  # a session has it as text, and a token may have
        key: Hashable = None if written is None else model._meta.pk.to_python(written)
    except ValidationError:
        return None
    return key


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


def _read_permissions(users: Iterable[Any], model: Any) -> dict[Any, frozenset[Hashable]]:
    """Return the permissions and groups of users, by primary key."""
    found: dict[Any, set[Hashable]] = {key: set() for key in users}
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
    own, other = field.m2m_column_name(), field.m2m_reverse_name()
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
