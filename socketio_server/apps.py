"""The Django app: imports the project's handlers, and registers the system checks."""

from importlib import import_module
from importlib.util import find_spec

from django.apps import AppConfig, apps
from django.core import checks as django_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.module_loading import module_has_submodule

from socketio_server import checks, conf
from socketio_server.serving import outside, users
from socketio_server.serving.around_handshakes import description
from socketio_server.serving.process import reloader
from socketio_server.serving.rights import revocations
from socketio_server.sockets import targets
from socketio_server.sockets.this_process import CLIENTS

EVENTS_MODULE = "events"


class SocketIOConfig(AppConfig):
    """The Django app ``socketio_server``."""

    name = "socketio_server"
    verbose_name = "Socket.IO server"

    events_modules: tuple[str, ...] = ()
    """The modules with handlers that were found and imported."""

    def ready(self) -> None:
        """Register the checks, let messages hold Django's types, import all ``events`` modules.

        :raises ImportError: or any other exception that an ``events`` module raises.
        :raises ImproperlyConfigured: if ``SOCKETIO_EVENTS`` names a module that there is not.
        """
        for check in checks.CHECKS:
            django_checks.register(check, "socketio_server")
        for check in checks.DEPLOY_CHECKS:
            django_checks.register(check, "socketio_server", deploy=True)
        outside.read_option = conf.option
        revocations.connect()
        targets.room_of = users.room_of
        CLIENTS.encode_with(DjangoJSONEncoder().default)
        CLIENTS.handshake_describer = description.describer
        reloader.put_off_errors(self._import_events)

    def _import_events(self) -> None:
        self.events_modules = tuple(dict.fromkeys((*_apps_modules(), *_project_modules())))
        for module in self.events_modules:
            _import(module)


def _import(module: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module != missing and not module.startswith(f"{missing}."):
            raise  # the module is there, and imports another that is not
        raise ImproperlyConfigured(
            f"SOCKETIO_EVENTS names {module!r}, and there is no module {missing!r}: it takes "
            'dotted names, "chat.handlers" say.'
        ) from error


def _apps_modules() -> list[str]:
    """Return the ``events`` modules of the installed apps, but not this package's own registry."""
    return [
        f"{app.name}.{EVENTS_MODULE}"
        for app in apps.get_app_configs()
        if app.name != SocketIOConfig.name
        and app.module is not None
        and module_has_submodule(app.module, EVENTS_MODULE)
    ]


def _project_modules() -> tuple[str, ...]:
    """Return the modules that ``SOCKETIO_EVENTS`` names; by default ``events``, if there is one."""
    try:
        named: tuple[str, ...] | None = conf.option("events")
    except ImproperlyConfigured:
        return ()  # the check says so
    if named is not None:
        return named
    return (EVENTS_MODULE,) if find_spec(EVENTS_MODULE) is not None else ()
