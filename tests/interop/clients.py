"""The official clients, each in a process of its own, driven line by line.

``Driver`` runs a driver program (``driver.mjs`` or ``driver.py``), which opens any number of
clients; ``Client`` is one of them. What happens to a client is kept, in order, until a test takes
it.
"""

import base64
import json
import os
import subprocess
import sys
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from threading import Condition, Lock, Thread
from typing import Any, NamedTuple

from tests.support.tools import PATIENCE

HERE = Path(__file__).parent

SHORT_PATIENCE = 2.0
"""Seconds that something may take when nothing is to be expected any more."""


class Language(NamedTuple):
    """An official client's language and generation, and how it words what the protocol leaves to
    it."""

    name: str
    revision: int
    """The revision of Engine.IO that it speaks."""

    command: tuple[str, ...]
    """Starts its driver."""

    package: str | None
    """What it needs in ``node_modules``; ``None`` if it is not for Node.js."""

    client_left: str
    """The reason that it gives where it left by itself."""

    server_sent_away: str
    """The reason where the server ended its connection to a namespace."""

    transport_closed: str
    """The reason where the server closed the transport in order."""


JAVASCRIPT = Language(
    "javascript",
    4,
    ("node", str(HERE / "driver.mjs"), "./revision4.mjs"),
    "socket.io-client",
    client_left="io client disconnect",
    server_sent_away="io server disconnect",
    transport_closed="transport close",
)
JAVASCRIPT_2 = JAVASCRIPT._replace(
    name="javascript2",
    revision=3,
    command=("node", str(HERE / "driver.mjs"), "./revision3.mjs"),
    package="socket.io-client-2",
)
PYTHON = Language(
    "python",
    4,
    (sys.executable, str(HERE / "driver.py")),
    None,
    client_left="client disconnect",
    server_sent_away="server disconnect",
    transport_closed="transport error",
)


class Flavour(NamedTuple):
    """An official client over one of the ways in which it can connect."""

    language: Language
    way: str
    transports: tuple[str, ...]

    @property
    def revision(self) -> int:
        """The revision of Engine.IO that it speaks."""
        return self.language.revision

    @property
    def last_transport(self) -> str:
        """The transport that it ends up with."""
        return self.transports[-1]

    @property
    def upgrades(self) -> bool:
        """Whether it changes from one transport to the other."""
        return len(self.transports) > 1

    def __str__(self) -> str:
        return f"{self.language.name}-{self.way}"


WAYS = {
    "polling": ("polling",),
    "websocket": ("websocket",),
    "upgrade": ("polling", "websocket"),
}
FLAVOURS = [
    Flavour(language, way, transports)
    for language in (JAVASCRIPT, JAVASCRIPT_2, PYTHON)
    for way, transports in WAYS.items()
]
JAVASCRIPT_FLAVOURS = [flavour for flavour in FLAVOURS if flavour.language is not PYTHON]
JAVASCRIPT_4_FLAVOURS = [flavour for flavour in FLAVOURS if flavour.language is JAVASCRIPT]
REVISION_3_FLAVOURS = [flavour for flavour in FLAVOURS if flavour.revision == 3]
REVISION_4_FLAVOURS = [flavour for flavour in FLAVOURS if flavour.revision == 4]
RETURNING_FLAVOURS = [
    flavour
    for flavour in FLAVOURS
    if flavour.language is not PYTHON or flavour.last_transport == "websocket"
]
"""Those that connect anew wherever the server ends the session in order. Over polling it ends with
a packet, and the Python client, if it sees that one first, takes itself to be sent away for good.
"""
WATCHER = Flavour(PYTHON, "websocket", WAYS["websocket"])
"""For clients that only look on."""

Key = tuple[str | None, str, str | None]
"""What happened to a client: the namespace, the kind, and an event's name.

The kinds and their arguments: ``connect`` (id, transport), ``connect_error`` (message, data; of
revision 3 the message alone), ``disconnect`` (reason), ``event`` (the event's own); of no
namespace, ``upgrade`` and ``ping`` (a heartbeat, whoever began it).
"""


class ClientError(Exception):
    """Raised when a client refuses what it is told to do, or gets no acknowledgement in time."""


class Client:
    """A client in a driver's process; it has at most ``PATIENCE`` for whatever it does."""

    def __init__(self, driver: "Driver", number: int, flavour: Flavour) -> None:
        self.flavour = flavour
        self.ids: dict[str, str] = {}
        """The public ids, by namespace; while connected."""
        self.opened: Future[Any]
        """Done when the driver lets go of the connecting client; set by it."""
        self._driver = driver
        self._number = number
        self._records: defaultdict[Key, deque[list[Any]]] = defaultdict(deque)
        self._changed = Condition()
        self._transport = ""

    @property
    def id(self) -> str:
        """The public id on the main namespace."""
        return self.ids["/"]

    @property
    def transport(self) -> str:
        """What the client says that it uses."""
        return self._transport

    def start(self, command: str, **parameters: Any) -> "Future[Any]":
        """Have the driver do something with this client."""
        return self._driver.start(command, client=self._number, **parameters)

    def do(self, command: str, **parameters: Any) -> Any:
        """Have the driver do something with this client, and wait until it is done.

        :raises ClientError: if the client can't.
        """
        return self.start(command, **parameters).result(PATIENCE)

    def emit(self, event: str, *args: Any, namespace: str = "/") -> None:
        """Emit an event."""
        self.emit_all([[event, *args]], namespace=namespace)

    def emit_all(self, events: Sequence[Sequence[Any]], *, namespace: str = "/") -> None:
        """Emit events, each a name and its arguments, all at once."""
        self.do("emit", namespace=namespace, events=events)

    def send(self, *messages: Any, namespace: str = "/") -> None:
        """Send messages, all at once."""
        self.emit_all([["message", message] for message in messages], namespace=namespace)

    def ask(self, event: str, *args: Any, namespace: str = "/") -> list[Any]:
        """Emit an event and return the values of its acknowledgement."""
        values: list[Any] = self.start_asking(event, *args, namespace=namespace).result(PATIENCE)
        return values

    def start_asking(
        self, event: str, *args: Any, namespace: str = "/", timeout: float | None = None
    ) -> "Future[list[Any]]":
        """Emit an event; return what will hold the values of its acknowledgement.

        :param timeout: after which the client itself gives up (JavaScript 4.x only).
        """
        return self.start("ask", namespace=namespace, event=[event, *args], timeout=timeout)

    def answer(self, event: str, *values: Any) -> None:
        """Acknowledge an event of the server with these values, from now on."""
        self.do("answer", event=event, values=values)

    def answer_never(self, event: str) -> None:
        """Never acknowledge an event of the server, from now on (JavaScript only)."""
        self.do("answer", event=event, values=None)

    def who(self, namespace: str = "/") -> dict[str, Any]:
        """Return what the server knows of the client; all that it sent before has been handled."""
        (answer,) = self.ask("who", namespace=namespace)
        assert isinstance(answer, dict)
        return answer

    def subscribe(self, channel: str, namespace: str = "/") -> Any:
        """Subscribe to a channel and return the acknowledgement's value."""
        (value,) = self.ask("__subscribe__", channel, namespace=namespace)
        return value

    def unsubscribe(self, channel: str, namespace: str = "/") -> Any:
        """Leave a channel and return the acknowledgement's value."""
        (value,) = self.ask("__unsubscribe__", channel, namespace=namespace)
        return value

    def disconnect(self, namespace: str = "/") -> None:
        """Leave a namespace; with the Python client, all of them."""
        self.do("disconnect", namespace=namespace)

    def wait_for(self, kind: str, namespace: str | None = "/") -> list[Any]:
        """Take the next record of a kind, waiting for it; return its arguments."""
        return self._take((namespace, kind, None), 1)[0]

    def wait_until_connected(self, namespace: str = "/") -> str:
        """Wait until the client has joined a namespace, and got to its last transport.

        :return: the public id there; the server's handlers tell it where the client is not told.
        """
        public_id: str = self.wait_for("connect", namespace)[0]
        self.opened.result(PATIENCE)  # the Python client takes note of things only from then on
        if self.flavour.revision == 3:
            public_id = self.ids[namespace] = self.who(namespace)["id"]
        last_transport = self.flavour.last_transport
        with self._changed:
            if not self._changed.wait_for(lambda: self._transport == last_transport, PATIENCE):
                raise AssertionError(f"{self.flavour} did not get to {last_transport}")
        return public_id

    def events(self, name: str, number: int = 1, namespace: str = "/") -> list[list[Any]]:
        """Take the next events of a name, waiting for them; return their arguments."""
        return self._take((namespace, "event", name), number)

    def event(self, name: str, namespace: str = "/") -> list[Any]:
        """Take the next event of a name, waiting for it; return its arguments."""
        return self.events(name, namespace=namespace)[0]

    def messages(self, number: int, namespace: str = "/") -> list[Any]:
        """Take the next messages, waiting for them."""
        return [message for (message,) in self.events("message", number, namespace)]

    def message(self, namespace: str = "/") -> Any:
        """Take the next message, waiting for it."""
        return self.messages(1, namespace)[0]

    def wait_until_sent_away(self, namespace: str = "/", *, with_session: bool = False) -> None:
        """Wait until the server has ended the connection to a namespace, and the client says so.

        :param with_session: whether it ended the whole session with it.
        """
        language = self.flavour.language
        reasons = [language.server_sent_away]
        if with_session and language is PYTHON:  # which may see the transport's end first
            reasons.append(language.transport_closed)
        (reason,) = self.wait_for("disconnect", namespace)
        assert reason in reasons

    def pending(self, name: str, namespace: str = "/") -> list[list[Any]]:
        """Return the events of a name that came so far and were not taken: their arguments."""
        with self._changed:
            return list(self._records[namespace, "event", name])

    def count(self, kind: str, namespace: str | None = "/") -> int:
        """Return how many records of a kind were not taken so far."""
        with self._changed:
            return len(self._records[namespace, kind, None])

    def happened(self, namespace: str | None, kind: str, args: list[Any]) -> None:
        """Keep a record; for the driver's use."""
        name = None
        with self._changed:
            if kind == "connect" and namespace is not None:
                self.ids[namespace], self._transport = args
            elif kind == "upgrade":
                self._transport = "websocket"
            elif kind == "disconnect" and namespace is not None:
                self.ids.pop(namespace, None)
            elif kind == "event":
                name, *args = args
            self._records[namespace, kind, name].append(args)
            self._changed.notify_all()

    def _take(self, key: Key, number: int) -> list[list[Any]]:
        namespace, kind, _ = key
        records, ends = self._records[key], self._records[namespace, "disconnect", None]
        with self._changed:
            have = -1
            while have < len(records) < number and not (kind == "event" and ends):
                have = len(records)  # a burst may take long, as long as some of it comes

                def is_news(have: int = have) -> bool:
                    return len(records) > have or (kind == "event" and len(ends) > 0)

                self._changed.wait_for(is_news, PATIENCE)
            if ends:  # the Python client may still be about to handle what came before
                self._changed.wait_for(lambda: len(records) >= number, SHORT_PATIENCE)
            if len(records) < number:
                there = {key: len(records) for key, records in self._records.items() if records}
                raise AssertionError(
                    f"{self.flavour} waited in vain for {number} of {key}; there were {there}"
                )
            return [records.popleft() for _ in range(number)]


class Driver:
    """A process that runs one language's clients."""

    def __init__(self, language: Language) -> None:
        self._numbers = count(1)
        self._clients: dict[int, Client] = {}
        self._replies: dict[int, Future[Any]] = {}
        self._lock = Lock()
        # Not measured: coverage would make the Python client too slow to read its pings in time.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
        self._process = subprocess.Popen(
            language.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def open(
        self,
        flavour: Flavour,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        namespaces: Sequence[str] = ("/",),
        auth: Any = None,
        early: Sequence[Sequence[Any]] = (),
        reconnection: bool = False,
        held: bool = False,
    ) -> Client:
        """Open a client, and don't wait until it has connected.

        :param early: events to emit before there is a connection (JavaScript only).
        :param reconnection: whether it connects anew by itself.
        :param held: whether its upgrade waits until a ``count`` lets it go (JavaScript only).
        """
        number = next(self._numbers)
        client = self._clients[number] = Client(self, number, flavour)
        client.opened = client.start(
            "open",
            url=url,
            query=query,
            headers=headers,
            transports=flavour.transports,
            namespaces=namespaces,
            auth=auth,
            early=early,
            reconnection=reconnection,
            held=held,
        )
        return client

    def start(self, command: str, **parameters: Any) -> "Future[Any]":
        """Send a command; the future fails with ``ClientError`` if the driver says so."""
        number = next(self._numbers)
        reply = self._replies[number] = Future()
        line = json.dumps(
            {"id": number, "command": command, **parameters}, default=_encode_binary
        ).encode()
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        return reply

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._reader.join(PATIENCE)

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        with stdout:
            for line in stdout:
                self._understand(json.loads(line, object_hook=_decode_binary))

    def _understand(self, said: dict[str, Any]) -> None:
        if "client" in said:
            client = self._clients[said["client"]]
            client.happened(said["namespace"], said["kind"], said["args"])
        elif "error" in said:
            self._replies.pop(said["id"]).set_exception(ClientError(said["error"]))
        else:
            self._replies.pop(said["id"]).set_result(said["result"])


def _encode_binary(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value)} can't be sent to a driver")


def _decode_binary(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["$bytes"]) if "$bytes" in value else value
