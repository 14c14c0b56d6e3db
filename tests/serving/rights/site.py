"""A site whose members may be in rooms, and those who may add users on it."""

from typing import Any

from socketio_server.decorators import permission_required
from socketio_server.events import Registry

REVOKED = "authorization revoked"

GET_USER = "django.contrib.auth.backends.ModelBackend.get_user"


class Room:
    """Who may be in the rooms, and how often that was asked."""

    def __init__(self) -> None:
        self.members = {"ann", "bob", "cy", ""}
        self.asked = 0


def fail_to_read(*args: Any) -> Any:
    raise LookupError("no directory")


def guarded_by_permission(namespace: str = "/") -> Registry:
    """Handlers of a site that is for those who may add users."""
    registry = Registry()

    @registry.on_connect(namespace=namespace)
    @permission_required("auth.add_user")
    def connect(request: Any, socket: Any, context: Any) -> None: ...

    return registry


def make_permission(name: str = "add_user") -> Any:
    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.models import ContentType

    kind, _ = ContentType.objects.get_or_create(app_label="auth", model="user")
    return Permission.objects.create(codename=name, content_type=kind)


def held_permissions() -> Any:
    """The permissions that users have, in a table of whose changes no signal tells."""
    from django.contrib.auth.models import User

    through: Any = User.user_permissions.through
    return through.objects


def group_permissions() -> Any:
    """The permissions that groups have, likewise."""
    from django.contrib.auth.models import Group

    through: Any = Group.permissions.through
    return through.objects
