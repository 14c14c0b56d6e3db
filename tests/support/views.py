"""What the test project's views tell of a server, and do in it outside of handlers."""

import json
from typing import Any

from tests.support.http import Http, Response
from tests.support.server import Server
from tests.support.tools import wait_until


def state(server: Server) -> dict[str, Any]:
    """Return the clients of a server by their ids, and the ids on each channel."""
    with Http(server.address) as http:
        found: dict[str, Any] = http.get("/state/").json
        return found


def wait_until_gone(server: Server, *ids: str) -> None:
    """Wait until a server has forgotten its clients.

    :param ids: those clients; all, if there are none.
    """

    def is_gone() -> bool:
        there = state(server)["clients"].keys()
        return there.isdisjoint(ids) if ids else not there

    wait_until(is_gone, "the server to forget its clients")


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
