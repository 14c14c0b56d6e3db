"""The running server of this process, for the view, the template tag and ``stats()``.

They know it by a protocol, because the server itself (``serving.server``) needs a patched process
and imports most of the package, while this module is imported everywhere.
"""

import logging
import os
import socket
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from socketio_server.engine.engine import Engine
from socketio_server.net.statistics import Snapshot
from socketio_server.options import Options
from socketio_server.protocol.cluster_requests import ServerFields
from socketio_server.serving.rights.recheck_scopes import Scope


class RunningServer(Protocol):
    """A server, as the rest of its process knows it."""

    engine: Engine
    options: Options

    @property
    def others_accept(self) -> bool:
        """Whether other workers of this machine take new clients."""

    @property
    def workers(self) -> int:
        """How many processes of this machine share connections, this one included."""

    def snapshot(self) -> Snapshot:
        """Return the numbers of the server's objects, and its counters."""

    def stop(self) -> bool:
        """Say goodbye to all clients, run their last handlers, and finish current requests.

        :return: whether all of that is done.
        """


class RecheckTaker(Protocol):
    """Verifies the clients of this process again (``serving.rights.rechecks``)."""

    at_once: bool
    """Whether nobody waits for commits: in tests there are none."""

    def ask(self, scope: Scope) -> None:
        """Verify clients again, soon."""


logger = logging.getLogger("socketio_server")

server: RunningServer | None = None
"""``None`` while no server runs. A server sets it when it starts, and resets it after it has
stopped."""


rechecks: RecheckTaker | None = None
"""``None`` while no server runs, and no test client is connected."""


def name_of_process() -> str:
    """Return a name of this process that no other of the cluster has."""
    return f"{socket.gethostname()}-{os.getpid()}"


def describe_server() -> ServerFields | None:
    """Return the names and the counters of the server; ``None`` while none runs."""
    if server is None:
        return None
    counters: Any = {**server.snapshot()}
    return ServerFields(name=name_of_process(), counters=counters, worker=server.engine.worker)


def tell_missing(what: str, environ: Mapping[str, Any]) -> None:
    """Log, once, that this process got what is for a server, and runs none.

    :param what: what it got, and what comes of it.
    :param environ: the request's, which names the program that serves the process; may be empty.
    """
    _tell_missing(what, name_of_program(environ))


def name_of_program(environ: Mapping[str, Any]) -> str:
    """Return what serves this process, as a request's environ names it."""
    return environ.get("SERVER_SOFTWARE") or "this process"


@cache
def _tell_missing(what: str, program: str) -> None:
    logger.warning(
        "%s, and %s does not serve Socket.IO: %s (said once)", what, program, remedy_for(program)
    )


def remedy_for(program: str) -> str:
    """Return how to start the site in place of a program that does not serve Socket.IO."""
    if program.startswith("gunicorn"):
        return "start gunicorn with `-k socketio_server.gunicorn.Worker`"
    return "start the site with `python manage.py runserver_socketio`, or run that beside it"
