"""Users as recipients: the room of a user, and the users on a channel."""

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db.models import Model

from socketio_server.protocol.names import USER_ROOM_HEAD


def room_of(value: Any) -> str | None:
    """Return the room of a user who is to get a message; ``None`` if it is no user.

    :raises ValueError: if the user is anonymous, or in no database.
    """
    if not hasattr(value, "is_authenticated"):
        return None
    room = find_room(value)
    if room is None:
        raise ValueError(
            f"{value!r} can't be told from others: pass a user with a primary key, and look at "
            "user.is_authenticated before"
        )
    return room


def find_room(user: Any) -> str | None:
    """Return the room of a user; ``None`` if it is anonymous, or in no database."""
    is_account = isinstance(user, Model) and user.pk is not None
    if not is_account or not getattr(user, "is_authenticated", True):
        return None
    return f"{USER_ROOM_HEAD}{_model_of(user)._meta.label_lower}:{user.pk}"


def _model_of(user: Model) -> type[Model]:
    """Return the model that tells users apart: the project's, if the user's inherits from it."""
    own = user._meta.concrete_model or type(user)
    for model in own._meta.get_parent_list():
        if model._meta.label == settings.AUTH_USER_MODEL:
            return model
    return own


def users_of(rooms: Iterable[str]) -> list[Any]:
    """Return the users of these rooms, in order, without those that are deleted."""
    places = [room.removeprefix(USER_ROOM_HEAD).split(":", 1) for room in rooms]
    found: dict[tuple[str, str], Any] = {}
    for label in dict.fromkeys(label for label, _ in places):
        users = apps.get_model(label)._base_manager
        keys = [key for each, key in places if each == label]
        for user in users.filter(pk__in=keys):
            found[label, str(user.pk)] = user
    return [found[label, key] for label, key in places if (label, key) in found]
