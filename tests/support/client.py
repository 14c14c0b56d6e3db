"""A Socket.IO client that does what a test tells it, and keeps all that it gets.

No threads: it reads when it is asked for something, and then answers the server's pings as well.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Self

from tests.support.tools import PATIENCE
from tests.support.wire import Carrier, Upgrading

_PACKET = re.compile(r"([0-6])(?:([0-9]+)-)?(?:(/[^,]*),)?([0-9]+)?(.*)", re.DOTALL)
CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = "0", "1", "2", "3", "4"

NOTHING = {"do": "nothing"}
"""A message upon which the test project's handlers do nothing but answer."""


class ConnectError(Exception):
    """Raised when the server refuses the client.

    :param error: what it said.
    """

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.error = error


class Client:
    """A client in the main namespace.

    :param send_fence: has each of several workers send to the client of an id; returns what.
    """

    def __init__(
        self,
        carrier: Carrier,
        *,
        upgrades: bool = False,
        send_fence: Callable[[str], list[str]] | None = None,
    ) -> None:
        self._send_fence = send_fence
        self.carrier = carrier
        self.id = ""
        """The public id, once connected."""
        self.packets: list[str] = []
        """All Socket.IO packets that came, as they came."""
        self.closed = False
        """Whether the server, or the connection, has ended the session."""
        self.disconnected = False
        """Whether the server ended this client's connection to the namespace."""
        self.pings = 0
        """How many pings were answered."""
        self.upgrades = upgrades
        """Whether it goes over to WebSocket once it is connected."""
        self.answers: dict[str, list[Any]] = {}
        """By the names of events, the values with which it acknowledges them."""
        self._events: deque[list[Any]] = deque()
        self._acks: dict[int, list[Any]] = {}
        self._connect: dict[str, Any] | None = None  # what the server said of our CONNECT
        self._connect_error: dict[str, Any] | None = None
        self._ack_id = 0

    def connect(self, auth: Any = None) -> Self:
        """Join the namespace, and go over to WebSocket if this client does so.

        :raises ConnectError: if the server refuses.
        """
        self._connect = self._connect_error = None
        self.ask_to_connect(auth)
        self.wait_until(lambda: self._connect is not None or self._connect_error is not None)
        if self._connect_error is not None:
            raise ConnectError(self._connect_error)
        assert self._connect is not None
        self.id = self._connect["sid"]
        if self.upgrades and isinstance(self.carrier, Upgrading):
            self.upgrades = False
            self.carrier.upgrade()
        return self

    def ask_to_connect(self, auth: Any = None) -> None:
        """Send the packet that joins the namespace, and go on."""
        self.carrier.send("40" if auth is None else "40" + json.dumps(auth))

    def send(self, message: Any) -> None:
        """Send a message."""
        self.emit("message", message)

    def emit(self, name: str, *args: Any, ack_id: int | None = None) -> None:
        """Send an event."""
        number = "" if ack_id is None else str(ack_id)
        self.carrier.send(f"42{number}{json.dumps([name, *args], ensure_ascii=False)}")

    def ask(self, name: str, *args: Any) -> list[Any]:
        """Send an event; wait for its acknowledgement, and return its values."""
        return self.answer_to(self.ask_later(name, *args))

    def ask_later(self, name: str, *args: Any) -> int:
        """Send an event that is to be acknowledged, and go on; return the acknowledgement's id."""
        self._ack_id += 1
        self.emit(name, *args, ack_id=self._ack_id)
        return self._ack_id

    def answer_to(self, ack_id: int) -> list[Any]:
        """Wait for the acknowledgement of what ``ask_later`` sent; return its values."""
        self.wait_until(lambda: ack_id in self._acks)
        return self._acks.pop(ack_id)

    def call(self, name: str, *args: Any) -> Any:
        """Send an event; return the one value of its acknowledgement."""
        (value,) = self.ask(name, *args)
        return value

    def do(self, what: str, **details: Any) -> Any:
        """Have the test project's handlers do something (``tests.project.handlers.commands``)."""
        return self.call("message", {"do": what, **details})

    def do_without_answer(self, what: str, **details: Any) -> None:
        """Have them do something that they may not answer, because it raises for one."""
        self.send({"do": what, **details})

    def method(self, name: str, *args: Any, **options: Any) -> Any:
        """Have a handler call a method of this client's socket; return what it returned."""
        (value,) = self.do("method", name=name, args=args, options=options)
        return value

    def attribute(self, name: str) -> Any:
        """Have a handler look up an attribute of this client's socket."""
        (value,) = self.do("attribute", name=name)
        return value

    def function(self, name: str, *args: Any, **options: Any) -> Any:
        """Have a handler call a function of ``socketio_server``; return what it returned."""
        (value,) = self.do("function", name=name, args=args, options=options)
        return value

    def find_sockets(self, **options: Any) -> dict[str, Any]:
        """Return the records that its server finds, by their ids."""
        return {record["session_id"]: record for record in self.function("find_sockets", **options)}

    def open(self, gate: str) -> None:
        """Have a handler open a gate at which others wait."""
        self.do("open", gate=gate)

    def subscribe(self, channel: str) -> Any:
        """Subscribe to a channel; return the server's answer."""
        return self.call("__subscribe__", channel)

    def unsubscribe(self, channel: str) -> Any:
        """Leave a channel; return the server's answer."""
        return self.call("__unsubscribe__", channel)

    def next_event(self, *, timeout: float = PATIENCE) -> list[Any]:
        """Wait for the next event; return its name and arguments."""
        self.wait_until(lambda: bool(self._events), timeout)
        return self._events.popleft()

    def next_message(self, *, timeout: float = PATIENCE) -> Any:
        """Wait for the next event, which must be a message."""
        name, message = self.next_event(timeout=timeout)
        assert name == "message", name
        return message

    def next_messages(self, count: int) -> list[Any]:
        """Wait for so many messages."""
        return [self.next_message() for _ in range(count)]

    def messages(self) -> list[Any]:
        """Return the messages that the server had sent before now, and that were not asked for yet.

        Its answer to a message tells that nothing that it sent before is still on its way. What
        other workers have sent comes before their fence.
        """
        assert self.call("message", NOTHING) == "nothing"
        if self._send_fence is not None:
            fence = [["message", text] for text in self._send_fence(self.id)]
            self.wait_until(lambda: all(event in self._events for event in fence))
            for event in fence:
                self._events.remove(event)
        messages = [event[1] for event in self._events]
        self._events.clear()
        return messages

    def is_acknowledged(self, ack_id: int) -> bool:
        """Return whether an event that was sent with ``ask_later`` has been answered so far."""
        return ack_id in self._acks

    def wait_for_close(self) -> None:
        """Wait until the session is over."""
        self.wait_until(lambda: self.closed)

    def disconnect(self) -> None:
        """Leave the namespace; the session goes on."""
        self.carrier.send("41")

    def close(self) -> None:
        """End the session. Idempotent."""
        self.carrier.close()

    def wait_until(self, condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
        """Take packets until a condition is met.

        :raises ConnectionError: if the session ends before that.
        :raises TimeoutError: if it takes too long.
        """
        deadline = monotonic() + timeout
        while not condition():
            if self.closed:
                raise ConnectionError("the session is over")
            self.take_packets(max(0.0, deadline - monotonic()))

    def take_packets(self, timeout: float = PATIENCE) -> None:
        """Wait for packets, and take them; whoever wants no pings answered does not ask."""
        try:
            packets = self.carrier.receive(timeout=timeout)
        except ConnectionError:
            self.closed = True
            return
        for packet in packets:
            self._take(packet)

    def _take(self, packet: str) -> None:
        if packet.startswith("4"):
            self._take_message(packet[1:])
        elif packet == "2":
            self.pings += 1
            self.carrier.send("3")
        elif packet == "1":
            self.closed = True
        else:
            assert packet == "6", f"the server sent {packet!r}"

    def _take_message(self, text: str) -> None:
        self.packets.append(text)
        match = _PACKET.fullmatch(text)
        assert match is not None, text
        kind, _, _, ack_id, data = match.groups()
        value: Any = json.loads(data) if data else None
        if kind == EVENT:
            self._events.append(value)
            if ack_id and value[0] in self.answers:
                self.carrier.send(f"43{ack_id}{json.dumps(self.answers[value[0]])}")
        elif kind == ACK:
            self._acks[int(ack_id)] = value
        elif kind == CONNECT:
            self._connect = value
        elif kind == CONNECT_ERROR:
            self._connect_error = value
        else:
            assert kind == DISCONNECT, text
            self.disconnected = True


def answers_to(clients: Iterable[Client], ack_ids: Iterable[int]) -> list[list[Any]]:
    """Wait for the acknowledgement that each client has asked for; return the values of each."""
    return [client.answer_to(ack) for client, ack in zip(clients, ack_ids, strict=True)]
