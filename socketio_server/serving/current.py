"""The server that runs in this process, for all who ask for it: view, template tag, ``stats()``.

What they may ask it is a protocol, because the server itself (``serving.server``) needs a patched
process and most of the package, and this module is imported everywhere.
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
        """Return what the server holds and has counted so far."""

    def stop(self) -> bool:
        """Say goodbye to all clients, run their last handlers, and finish what is under way.

        :return: whether all of that is done.
        """


server: RunningServer | None = None
"""``None`` while none runs. A server sets it when it starts, and takes itself away when it has
stopped."""
