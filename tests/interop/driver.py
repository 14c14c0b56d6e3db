"""Drives the official Python client for the tests, in a process of its own.

One JSON object per line in (a command), one per line out (a command's result, or something that
happened to a client). What the commands mean is told in ``clients.py``; ``driver.mjs`` is the same
for the JavaScript client.
"""

import base64
import json
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlencode

import socketio  # type: ignore[import-untyped]

Reply = Callable[[dict[str, Any]], None]

RECONNECTION_DELAY = 0.3
"""Seconds; long enough for the client to be done with the old connection, which it does not check.
"""

_output = Lock()


class Client:
    """A client of python-socketio that reports what happens to it."""

    def __init__(self, number: int, parameters: dict[str, Any]) -> None:
        self._number = number
        self._answers: dict[str, list[Any]] = {}
        self._parameters = parameters
        self.io = socketio.Client(
            reconnection=parameters["reconnection"],
            reconnection_delay=RECONNECTION_DELAY,
            reconnection_delay_max=RECONNECTION_DELAY,
            randomization_factor=0,
            request_timeout=30,
            engineio_logger=_PingLogger(lambda: self._report(None, "ping")),
            handle_sigint=False,
        )
        self._in_order()
        self.io.on("connect", self._connected, namespace="*")
        self.io.on("connect_error", self._refused, namespace="*")
        self.io.on("disconnect", self._disconnected, namespace="*")
        self.io.on("*", self._event_received, namespace="*")

    def open(self, reply: Reply) -> None:
        """Connect, and reply when every namespace has answered, or the connection has failed."""
        parameters = self._parameters
        url = parameters["url"]
        if parameters["query"]:
            url += "?" + urlencode(parameters["query"])
        upgrades = len(parameters["transports"]) > 1
        with suppress(socketio.exceptions.ConnectionError):  # reported as connect_error
            self.io.connect(
                url,
                headers=parameters["headers"] or {},
                auth=parameters["auth"],
                transports=None if upgrades else parameters["transports"],
                namespaces=parameters["namespaces"],
                wait_timeout=30,
            )
        reply({"result": None})

    def emit(self, namespace: str, events: list[list[Any]]) -> None:
        """Emit events."""
        for name, *args in events:
            self.io.emit(name, tuple(args), namespace=namespace)

    def ask(self, namespace: str, event: list[Any], reply: Reply) -> None:
        """Emit an event and report the values of its acknowledgement."""
        name, *args = event
        self.io.emit(
            name,
            tuple(args),
            namespace=namespace,
            callback=lambda *values: reply({"result": list(values)}),
        )

    def answer(self, event: str, values: list[Any]) -> None:
        """From now on, acknowledge an event of the server with these values."""
        self._answers[event] = values

    def leave(self) -> None:
        """Leave all namespaces."""
        self.io.eio.queue.join()  # in the midst of sending, the client would miss its own goodbye
        self.io.disconnect()

    def drop(self) -> None:
        """End the session below Socket.IO."""
        self.io.eio.queue.join()
        self.io.eio.disconnect()

    def _connected(self, namespace: str) -> None:
        self._report(namespace, "connect", self.io.get_sid(namespace), self.io.transport())

    def _refused(self, namespace: str, error: Any) -> None:
        known = isinstance(error, dict)
        message, data = (error["message"], error.get("data")) if known else (error, None)
        self._report(namespace, "connect_error", message, data)

    def _disconnected(self, namespace: str, reason: str) -> None:
        self._report(namespace, "disconnect", reason)

    def _event_received(self, event: str, namespace: str, *args: Any) -> tuple[Any, ...]:
        self._report(namespace, "event", event, *args)
        return tuple(self._answers.get(event, ()))

    def _report(self, namespace: str | None, kind: str, *args: Any) -> None:
        write({"client": self._number, "namespace": namespace, "kind": kind, "args": args})

    def _in_order(self) -> None:
        """Have messages handled in the order in which they came.

        The client starts a thread per message, so that their order is lost within the client; here
        one thread handles all of them.
        """
        waiting: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        start = self.io.eio.start_background_task

        def work() -> None:
            while True:
                target, *args = waiting.get()
                target(*args)

        def start_in_order(target: Any, *args: Any, **kwargs: Any) -> Any:
            if target == self.io.eio.handlers["message"]:
                return waiting.put((target, *args))
            return start(target, *args, **kwargs)

        Thread(target=work, daemon=True).start()
        self.io.eio.start_background_task = start_in_order


class _PingLogger(logging.Logger):
    """Tells of the server's pings, for which the client has no event."""

    def __init__(self, pinged: Callable[[], None]) -> None:
        super().__init__("engineio.client", logging.INFO)
        self._pinged = pinged

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Take what the client logs (``logging.Logger``)."""
        if msg == "Received packet %s data %s" and args[0] == "PING":
            self._pinged()


class Commands:
    """The commands, by name."""

    def __init__(self) -> None:
        self._clients: dict[int, Client] = {}

    def run(self, command: str, parameters: dict[str, Any], reply: Reply) -> None:
        """Run a command, and reply when it is done."""
        number = parameters.pop("client")
        if command == "open":
            self._clients[number] = Client(number, parameters)
            Thread(target=self._clients[number].open, args=(reply,), daemon=True).start()
        elif command == "ask":
            self._clients[number].ask(parameters["namespace"], parameters["event"], reply)
        else:
            self._run(command, number, **parameters)
            reply({"result": None})

    def _run(self, command: str, client: int, **parameters: Any) -> None:
        if command == "emit":
            self._clients[client].emit(parameters["namespace"], parameters["events"])
        elif command == "answer":
            self._clients[client].answer(parameters["event"], parameters["values"])
        elif command == "disconnect":
            self._clients[client].leave()
        elif command == "drop":
            self._clients[client].drop()
        elif command == "forget":
            # That may take until the next heartbeat, where the client misses its own goodbye.
            Thread(target=self._clients.pop(client).io.shutdown, daemon=True).start()
        else:
            raise NotImplementedError(command)


def write(record: dict[str, Any]) -> None:
    """Write a line; binary data becomes ``{"$bytes": base64}``."""
    line = json.dumps(record, default=_encode_binary) + "\n"
    with _output:
        sys.stdout.write(line)
        sys.stdout.flush()


def _encode_binary(value: object) -> dict[str, str]:
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(type(value))


def _decode_binary(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["$bytes"]) if "$bytes" in value else value


def main() -> None:
    """Run commands until the tests close our input."""
    commands = Commands()
    for line in sys.stdin:
        request = json.loads(line, object_hook=_decode_binary)
        number, command = request.pop("id"), request.pop("command")

        def reply(outcome: dict[str, Any], number: int = number) -> None:
            write({"id": number, **outcome})

        try:
            commands.run(command, request, reply)
        except Exception as error:  # noqa: BLE001 (whatever it is, the test is told)
            reply({"error": repr(error)})


if __name__ == "__main__":
    main()
