"""The client's side of a session over polling, as far as an examination needs it."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any

from socketio_server.doctor.remedies import explain
from socketio_server.doctor.site import Answer, Site

SEPARATOR = "\x1e"
"""Stands between the packets of one body."""


class Polling:
    """A session over polling.

    :raises Wrong: if the server does not open one.
    """

    def __init__(self, site: Site, headers: Mapping[str, str]) -> None:
        self.site = site
        self.answer = site.request("GET", site.target(transport="polling"), headers=headers)
        """The answer to the handshake."""
        if self.answer.status != HTTPStatus.OK or not self.answer.body.startswith(b"0{"):
            raise explain(self.answer, {})
        opening: dict[str, Any] = json.loads(self.answer.text.partition(SEPARATOR)[0][1:])
        self.opening = opening
        """What the server said of the session."""
        got = (cookie.partition(";")[0] for cookie in self.answer.cookies)
        self._headers = {**headers, **cookie_header(headers.get("Cookie"), *got)}

    @property
    def target(self) -> str:
        """Path and query of the session's requests."""
        return self.site.target(transport="polling", sid=self.opening["sid"])

    @property
    def websocket_target(self) -> str:
        """Path and query of its upgrade."""
        return self.site.target(transport="websocket", sid=self.opening["sid"])

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of its requests, with the cookies that it got."""
        return self._headers

    def post(self, packet: str) -> Answer:
        """Send a packet, and return the answer."""
        return self.site.request("POST", self.target, packet.encode(), self._headers)

    def start_poll(self) -> HTTPConnection:
        """Ask for packets, and return the connection that they will come on."""
        connection = self.site.connect()
        self.site.send(connection, "GET", self.target, headers=self._headers)
        return connection

    def poll(self, **headers: str) -> Answer:
        """Wait for packets.

        :raises Wrong: if the server refuses.
        """
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.site.request("GET", self.target, headers={**self._headers, **more})
        if answer.status != HTTPStatus.OK:
            raise explain(answer, self.opening)
        return answer


def cookie_header(*cookies: str | None) -> dict[str, str]:
    """Return the header with some cookies; none if there are none."""
    known = "; ".join(filter(None, cookies))
    return {"Cookie": known} if known else {}
