"""What the test project's views tell of a server, and do in it outside of handlers."""

import json
from typing import Any

from tests.support.http import Http, Response
from tests.support.server import Server
from tests.support.tools import wait_until

HELD = (
    "connections",
    "sessions",
    "sockets",
    "channels",
    "queued_bytes",
    "waiting_bytes",
    "decoded_bytes",
)
"""What of ``socketio_server.stats()`` tells of clients that are there."""


def state(server: Server) -> dict[str, Any]:
    """Return the clients of a server by their ids, and the ids on each channel."""
    with Http(server.address) as http:
        found: dict[str, Any] = http.get("/state/").json
        return found


def stats(server: Server) -> dict[str, Any]:
    """Return what a server counts."""
    with Http(server.address) as http:
        found: dict[str, Any] = http.get("/stats/").json
        return found


def wait_until_gone(server: Server, client_id: str) -> None:
    """Wait until a server has forgotten a client."""
    wait_until(lambda: client_id not in state(server)["clients"], "the server to forget the client")


def outside(server: Server, function: str, *args: Any) -> Response:
    """Call a function in a view."""
    with Http(server.address) as http:
        return http.post(f"/outside/{function}/", json.dumps(args))


def log_in(server: Server, name: str, *, colour: str) -> dict[str, str]:
    """Log in; return the header that makes a request the user's."""
    with Http(server.address) as http:
        response = http.get(f"/login/?name={name}&colour={colour}")
        assert response.text == "welcome"
        return {"Cookie": response.headers["set-cookie"].split(";")[0]}
