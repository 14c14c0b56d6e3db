"""How much one client may send in how much time."""

from contextlib import suppress
from time import monotonic

import pytest

from tests.support.client import NOTHING, Client
from tests.support.http import Http
from tests.support.server import Server
from tests.support.types import Connect, StartServer
from tests.support.websocket import PING, PONG, TEXT, Closed, Frame, WebSocket, frame
from tests.support.wire import OverWebSocket, Polling, TransportName

RATE, BURST = 100, 20
"""Packets that a client of the server here may send: in a second, and at once above that."""

PINGS = 20
"""WebSocket pings that a client may send in a second."""


@pytest.fixture
def calm(share_server: StartServer) -> Server:
    """A server that lets its clients send slowly only."""
    return share_server(
        settings={"SOCKETIO_MAX_PACKET_RATE": RATE, "SOCKETIO_MAX_PACKET_BURST": BURST}
    )


def websocket_of(client: Client) -> WebSocket:
    """Return a client's WebSocket."""
    assert isinstance(client.carrier, OverWebSocket)
    return client.carrier.websocket


def count_pongs(websocket: WebSocket) -> int:
    """Return how many pongs come before the server closes."""
    count = 0
    with suppress(Closed):
        while websocket.receive().opcode == PONG:
            count += 1
    return count


def messages_handled(server: Server, client: Client) -> list[object]:
    """Return the messages of a client that a handler has seen."""
    return [
        entry.details["args"][0]
        for entry in server.journal.entries(client.id, "bare")
        if entry.event == "on_message"
    ]


class TestPackets:
    """Beyond the rate the server leaves them unread, so that the client has to wait."""

    COUNT = 200
    LEAST_TIME = (COUNT - 2 * BURST - 10) / RATE
    """Seconds that so many take at least. The burst may be there twice, since it had come back
    until it was spent; and it is about packets, of which there are some besides the messages."""

    def test_one_after_the_other_are_all_handled(
        self, calm: Server, connect: Connect, transport: TransportName
    ) -> None:
        client, bystander = connect(transport, to=calm), connect(to=calm)
        count = 3 * BURST
        for number in range(count):
            client.send(number)
        assert bystander.messages() == []
        client.messages()
        assert messages_handled(calm, client) == list(range(count))

    def test_all_at_once_have_to_wait_and_none_is_lost(
        self, calm: Server, connect: Connect
    ) -> None:
        client, bystander = connect(to=calm), connect(to=calm)
        start = monotonic()
        frames = (frame(TEXT, f'42["message",{number}]') for number in range(self.COUNT))
        websocket_of(client).send(b"".join(frames))
        assert bystander.messages() == []
        client.messages()
        assert monotonic() - start >= self.LEAST_TIME
        assert messages_handled(calm, client) == list(range(self.COUNT))

    def test_in_one_payload_have_to_wait_and_none_is_lost(
        self, calm: Server, connect: Connect
    ) -> None:
        client, bystander = connect("polling", to=calm), connect(to=calm)
        assert isinstance(client.carrier, Polling)
        start = monotonic()
        client.carrier.send_later(*(f'42["message",{number}]' for number in range(self.COUNT)))
        assert bystander.messages() == []
        client.carrier.wait_for_ok()
        assert monotonic() - start >= self.LEAST_TIME
        client.messages()
        assert messages_handled(calm, client) == list(range(self.COUNT))

    def test_do_not_keep_the_server_from_sending(self, calm: Server, connect: Connect) -> None:
        flooder, sender = connect(to=calm), connect(to=calm)
        packet = frame(TEXT, '42["message","again"]')
        websocket_of(flooder).send(packet * 2000)  # for twenty seconds
        last = flooder.ask_later("message", NOTHING)
        sender.function("send", flooder.id, "in between")
        assert flooder.next_message() == "in between"
        assert not flooder.is_acknowledged(last)
        flooder.carrier.cut()

    def test_of_a_client_that_goes_meanwhile_do_not_keep_it(
        self, calm: Server, connect: Connect
    ) -> None:
        client, bystander = connect(to=calm), connect(to=calm)
        websocket_of(client).send(frame(TEXT, '42["message","again"]') * 100)
        client.carrier.reset()
        calm.journal.wait_for("on_finish", client.id)
        assert bystander.messages() == []


class TestHeartbeats:
    def test_are_not_missed_because_the_server_does_not_read(
        self, share_server: StartServer, connect: Connect
    ) -> None:
        server = share_server(
            settings={
                "SOCKETIO_MAX_PACKET_RATE": RATE,
                "SOCKETIO_MAX_PACKET_BURST": BURST,
                "SOCKETIO_PING_INTERVAL": 0.2,
                "SOCKETIO_PING_TIMEOUT": 0.5,
            }
        )
        client = connect(to=server)
        count = 250  # takes longer than the heartbeat may
        frames = (frame(TEXT, f'42["message",{number}]') for number in range(count))
        websocket_of(client).send(b"".join(frames))
        client.messages()
        assert client.pings > 0
        assert messages_handled(server, client) == list(range(count))


class TestWebSocketPings:
    def test_are_answered(self, server: Server, connect: Connect) -> None:
        websocket = websocket_of(connect())
        websocket.send(b"".join(frame(PING, str(number)) for number in range(PINGS)))
        answers = [websocket.receive() for _ in range(PINGS)]
        assert answers == [Frame(PONG, str(number).encode()) for number in range(PINGS)]

    def test_that_come_as_a_flood_close_the_connection_with_1008(
        self, server: Server, connect: Connect
    ) -> None:
        client, bystander = connect(), connect()
        websocket_of(client).send(frame(PING, "flood") * 1000)
        closed = websocket_of(client).wait_for_close()
        assert closed.code == 1008
        assert bystander.messages() == []
        last = server.journal.wait_for("on_finish", client.id)[-1]
        assert last.details["close_reason"] == "parse error"

    def test_of_a_flood_are_answered_up_to_the_limit(self, connect: Connect) -> None:
        websocket = websocket_of(connect())
        websocket.send(frame(PING, "flood") * 1000)
        assert PINGS <= count_pongs(websocket) < 1000

    def test_do_not_keep_a_client_from_anything_else(self, connect: Connect) -> None:
        client = connect()
        for _ in range(5):
            websocket_of(client).send(frame(PING))
            assert websocket_of(client).receive().opcode == PONG
            assert client.call("message", NOTHING) == "nothing"


class TestFlooders:
    def test_are_told_in_the_log_once(self, share_server: StartServer, connect: Connect) -> None:
        server = share_server(settings={"SOCKETIO_MAX_WEBSOCKET_PINGS": 5})
        client = connect(to=server)
        websocket_of(client).send(frame(PING, "flood") * 100)
        websocket_of(client).wait_for_close()
        server.wait_for_output(r"Refused \(packet\): too many pings")
        with Http(server.address) as http:
            assert http.get("/state/").status == 200
        assert server.output.count("too many pings") == 1
