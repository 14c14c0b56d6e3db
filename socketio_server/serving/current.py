"""The running server of this process, for the view, the template tag and ``stats()``.

They know it by a protocol, because the server itself (``serving.server``) needs a patched process
and imports most of the package, while this module is imported everywhere.
"""

from typing import Protocol

from socketio_server.engine.engine import Engine
from socketio_server.net.statistics import Snapshot
from socketio_server.options import Options


class RunningServer(Protocol):
    """A server, as the rest of its process knows it."""

    engine: Engine
    options: Options

    def snapshot(self) -> Snapshot:
        """Return the numbers of the server's objects, and its counters."""

    def stop(self) -> bool:
        """Say goodbye to all clients, run their last handlers, and finish current requests.

        :return: whether all of that is done.
        """


server: RunningServer | None = None
"""``None`` while no server runs. A server sets it when it starts, and resets it after it has
stopped."""
