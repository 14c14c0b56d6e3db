"""A site under examination: its address, and plain HTTP requests to it."""

import gzip
import ssl
import zlib
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPSConnection
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from socketio_server.engine import origins
from socketio_server.protocol.engineio import PROTOCOL_VERSION

PATIENCE = 20.0
"""Seconds for each answer; proxies of usual settings wait longer."""

SHOWN = 80
"""Characters of an unexpected answer that are shown."""

NO_HEADERS: Mapping[str, str] = {}


class Answer(NamedTuple):
    """An HTTP answer; ``headers`` by their names in lower case, ``cookies`` as they were set."""

    status: int
    headers: Mapping[str, str]
    cookies: list[str]
    body: bytes

    @property
    def start(self) -> str:
        """The beginning of the body, decoded."""
        return self.body[:SHOWN].decode(errors="replace").strip()

    @property
    def location(self) -> str | None:
        """Where the answer redirects to, if it does."""
        return self.headers.get("location")

    @property
    def encoding(self) -> str:
        """How the body is compressed."""
        return self.headers.get("content-encoding", "")

    @property
    def text(self) -> str:
        """The body, inflated and decoded.

        :raises ValueError: if it can't be.
        """
        try:
            body = gzip.decompress(self.body) if self.encoding == "gzip" else self.body
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(str(error)) from error
        return body.decode()


class Site:
    """Where a site's Socket.IO is.

    :param url: the site's, or with a path the whole URL of its Socket.IO.
    :param path: Socket.IO's path, for a URL without.
    :raises ValueError: if the URL is none of HTTP.
    """

    def __init__(self, url: str, path: str) -> None:
        parts = urlsplit(url)
        origin = origins.spell(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or origin is None:
            raise ValueError(url)
        self.is_secure = parts.scheme == "https"
        """Whether requests go over TLS."""
        self.origin = origin
        """The origin of the site's own pages."""
        self.host = origin.partition("://")[2]
        """The ``Host`` header, as browsers write it."""
        self._address = parts.hostname, parts.port
        self.path = f"{parts.path.rstrip('/')}/" if parts.path.strip("/") else path
        """Socket.IO's path."""

    def connect(self) -> HTTPConnection:
        """Open a connection.

        :raises OSError: if there is none to be had.
        """
        host, port = self._address
        if self.is_secure:
            context = ssl.create_default_context()
            connection: HTTPConnection = HTTPSConnection(
                host, port, timeout=PATIENCE, context=context
            )
        else:
            connection = HTTPConnection(host, port, timeout=PATIENCE)
        connection.connect()
        return connection

    def target(self, **query: str) -> str:
        """Return path and query of a request of Engine.IO's."""
        return f"{self.path}?{urlencode({'EIO': str(PROTOCOL_VERSION), **query})}"

    def request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Answer:
        """Send a request over a connection of its own, and return the answer.

        :raises OSError: if the connection can't be had, or breaks.
        :raises HTTPException: if the answer is none of HTTP.
        """
        connection = self.connect()
        try:
            self.send(connection, method, target, body, headers)
            return read(connection)
        finally:
            connection.close()

    def send(
        self,
        connection: HTTPConnection,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        """Send a request; its answer tells why the body was not taken, if it was not."""
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, target, body, {"Host": self.host, **headers})


def read(connection: HTTPConnection) -> Answer:
    """Read the answer to the request that was sent last."""
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    cookies = response.headers.get_all("Set-Cookie", [])
    return Answer(response.status, headers, cookies, response.read())
