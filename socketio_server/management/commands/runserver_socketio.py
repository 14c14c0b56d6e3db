"""``python manage.py runserver_socketio [addr:port | port]``: ``runserver`` with Socket.IO.

Takes the arguments of ``runserver``, with the same autoreload and static files. It adds gevent's
patches before all other imports, and a goodbye to every client when the process stops or reloads.
"""

import errno
import faulthandler
import logging
import os
import signal
import sys
from collections import Counter
from datetime import datetime
from socket import AF_INET, AF_INET6, create_server
from time import monotonic
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand
from django.core.management.base import CommandError
from django.db import connections
from django.utils import autoreload
from gevent import get_hub, signal_handler, spawn
from gevent.event import Event

import socketio_server
from socketio_server import conf
from socketio_server.apps import SocketIOConfig
from socketio_server.checks.settings import is_local
from socketio_server.net.statistics import describe
from socketio_server.protocol.names import MAIN_NAMESPACE
from socketio_server.registry.events import REGISTRY, Registration
from socketio_server.registry.signatures import module_of
from socketio_server.serving import current
from socketio_server.serving.around_events.message_log import message_logger
from socketio_server.serving.process import reloader, restart
from socketio_server.serving.server import STOP_OVERHEAD, Server

logger = logging.getLogger("socketio_server")

MAX_PORT = 65_535
BACKLOG = 4096
SAME_SIGNAL_TIME = 1.0
"""Seconds in which further signals count as the first one, because Ctrl-C reaches parent and child,
and the parent passes it on to the child."""

STOP_MARGIN = STOP_OVERHEAD + 1.0
"""Seconds that a stop may take beyond ``drain_timeout``: the server's, and the interpreter's."""

STDERR = 2
"""The file descriptor, which can be written to even if ``sys.stderr`` was replaced or closed."""

_ERRORS = {
    errno.EACCES: "You don't have permission to access that port.",
    errno.EADDRINUSE: (
        "That port is already in use: end the program that has it, or name another port, "
        "`runserver_socketio 9001` say."
    ),
    errno.EADDRNOTAVAIL: "That IP address can't be assigned to.",
}


class Command(RunserverCommand):
    """The command ``runserver_socketio``."""

    help = "Starts a web server with Socket.IO for the whole project."

    # Set by Django's command from its arguments.
    addr: str
    port: str
    use_ipv6: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stopping_since: float | None = None
        self._stopped = Event()
        self._status = 0  # of the process, when it has stopped

    @property
    def default_addr(self) -> str:  # type: ignore[override]
        """The address to listen on if none is given."""
        return conf.options().host

    @property
    def default_port(self) -> str:  # type: ignore[override]
        """The port to listen on if none is given."""
        return str(conf.options().port)

    def run(self, **options: Any) -> None:
        """Run the server in a patched process, which with autoreload is the child of another."""
        if int(self.port) > MAX_PORT:
            raise CommandError(f"{self.port!r} is not a valid port number.")
        if options["use_reloader"] and not self._is_reloaders_child():
            sys.exit(reloader.supervise())
        restart.restart_unless_patched()
        if not options["use_reloader"]:
            self.inner_run(None, **options)
            return
        try:
            autoreload.run_with_reloader(self.inner_run, **options)
        finally:  # the code changed, or the process got a signal
            _stop_server()

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Check the project, then serve until the process gets a signal."""
        # First of all: with autoreload this runs in a greenlet of its own, and a KeyboardInterrupt
        # would end that and leave the process.
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._on_signal)  # not gevent's, which is for the loop to call
        autoreload.raise_last_exception()
        if not options["skip_checks"]:
            self.stdout.write("Performing system checks...\n\n")
            self.check(display_num_errors=True)
        self.check_migrations()
        connections.close_all()  # which the checks have opened
        self._log_messages_to_stderr()
        server = self._start_server(*args, **options)
        signal_handler(signal.SIGUSR1, _log_stats)
        self._print_banner(server, options["verbosity"])
        self._stopped.wait()
        if self._status:
            sys.exit(self._status)

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """Return the application, which serves static files if the project has them."""
        if not apps.is_installed("django.contrib.staticfiles"):
            options["use_static_handler"] = False
        return super().get_handler(*args, **options)

    def _is_reloaders_child(self) -> bool:
        return os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true"

    def _start_server(self, *args: Any, **options: Any) -> Server:
        """Listen and serve; if listening fails, print the reason, and exit with status 1.

        Build the application first, because a project that can't be served must leave no port open.
        """
        application = self.get_handler(*args, **options)
        family = AF_INET6 if self.use_ipv6 else AF_INET
        try:
            listener = create_server((self.addr, int(self.port)), family=family, backlog=BACKLOG)
        except OSError as error:
            self.stderr.write(f"Error: {_ERRORS.get(error.errno or 0, error)}")
            os._exit(1)  # sys.exit would only end the reloader's thread
        try:
            server = Server(application, [listener], conf.options())
        except BaseException:
            listener.close()
            raise
        server.start()
        return server

    def _on_signal(self, signum: int, frame: Any) -> None:
        """Stop in an orderly way; a second signal, a moment later, ends the process at once.

        Python calls this between any two instructions, even in a handler that never waits. Before
        the server has started, there is nothing to be put in order.
        """
        if self._stopping_since is None and current.server is None:
            os._exit(0)
        if self._stopping_since is None:
            self._stopping_since = monotonic()
            _limit_stop()
            get_hub().loop.run_callback_threadsafe(spawn, self._stop)
        elif monotonic() - self._stopping_since > SAME_SIGNAL_TIME:
            os._exit(1)

    def _stop(self) -> None:
        """Stop in an orderly way, and end the process."""
        self._status = 0 if _stop_server() else 1
        for signum in (signal.SIGINT, signal.SIGTERM):  # the parent may pass the signal on now
            signal.signal(signum, signal.SIG_IGN)
        self._stopped.set()
        if self._is_reloaders_child():  # the main greenlet runs Django's reloader
            main = get_hub().parent
            assert main is not None  # the hub's parent is the thread's first greenlet
            main.throw(SystemExit(self._status))

    def _log_messages_to_stderr(self) -> None:
        """Print the message log, as django-socketio did, if the project's LOGGING does not."""
        if not message_logger.hasHandlers():
            message_logger.addHandler(logging.StreamHandler())
            message_logger.setLevel(logging.INFO)
            message_logger.propagate = False

    def _print_banner(self, server: Server, verbosity: int) -> None:
        """Print the server's address, and its handlers with their modules."""
        address = f"[{self.addr}]" if ":" in self.addr else self.addr
        lines = [
            datetime.now().strftime("%B %d, %Y - %X"),
            f"Django version {django.get_version()}, using settings {settings.SETTINGS_MODULE!r}",
            f"socketio_server {socketio_server.__version__} at {server.path}, "
            f"{' and '.join(conf.options().transports)}",
            *_describe_handlers(verbosity),
            f"Starting server at http://{address}:{server.port}/",
            "Quit the server with CONTROL-C.",
        ]
        self.stdout.write("\n".join(lines))
        if settings.DEBUG and not is_local(self.addr):
            self.stdout.write(
                self.style.WARNING(
                    "WARNING: DEBUG is on, and others can reach this address: its error pages show "
                    "them the project's settings and code. Set DEBUG = False."
                )
            )


def _stop_server() -> bool:
    """Stop in order; return whether nothing had to be abandoned."""
    if current.server is None:
        return True
    _limit_stop()
    return current.server.stop()


def _limit_stop() -> None:
    """End the process with status 1 if it still runs when all should be over, whatever it does.

    ``faulthandler`` does so in a thread of its own that needs no lock of the interpreter's, and
    says on stderr where the process was.
    """
    if current.server is not None:
        seconds = current.server.options.drain_timeout + STOP_MARGIN
        faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)


def _log_stats() -> None:
    """Log the server's counters, on SIGUSR1."""
    logger.warning("Statistics: %s", describe(socketio_server.stats()))


def _app_config() -> SocketIOConfig:
    config = apps.get_app_config(SocketIOConfig.name)
    assert isinstance(config, SocketIOConfig)
    return config


def _describe_handlers(verbosity: int) -> list[str]:
    """Return lines about the imported modules and their handlers."""
    modules = _app_config().events_modules
    counts: dict[str, Counter[str]] = {", ".join(modules): Counter()} if modules else {}
    events = (*REGISTRY, *REGISTRY.cluster.values())
    for event in events:
        for registration in event.registrations:
            module = module_of(registration.handler)
            where = ", ".join(modules) if module in modules else module
            counts.setdefault(where, Counter())[event.name] += 1
    lines = [
        f"Handlers in {where}: {', '.join(f'{name} {n}' for name, n in found.items()) or 'none'}"
        for where, found in counts.items()
    ] or [
        "No handlers: found no events.py in any app of INSTALLED_APPS, nor beside manage.py; "
        "SOCKETIO_EVENTS may name modules."
    ]
    if verbosity > 1:
        lines += [
            f"  {event.name}: {_describe(registration)}"
            for event in events
            for registration in event.registrations
        ]
    return lines


def _describe(registration: Registration) -> str:
    handler = registration.handler
    text = f"{module_of(handler)}.{getattr(handler, '__qualname__', handler)}"
    if registration.pattern is not None:
        text += f" for channels {registration.pattern.pattern!r}"
    if registration.namespace != MAIN_NAMESPACE:
        text += f" in namespace {registration.namespace!r}"
    return text
