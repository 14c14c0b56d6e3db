"""A client whose handlers are busy: what must go on all the same."""

import re
from typing import ClassVar

import pytest

from tests.support.client import Client
from tests.support.http import Http
from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.types import Connect, StartServer
from tests.support.views import stats
from tests.support.wire import Polling, TransportName

IMPATIENT = {
    "SOCKETIO_MAX_PENDING_BYTES": 20_000,
    "SOCKETIO_PING_INTERVAL": 1.0,
    "SOCKETIO_PING_TIMEOUT": 5.0,
    "SOCKETIO_STALL_TIMEOUT": 5.0,
}


@pytest.fixture
def impatient(share_server: StartServer) -> Server:
    """A server that soon reads no more from a client, and soon misses its pongs."""
    return share_server(settings=IMPATIENT)


def open_gate(server: Server, name: str) -> None:
    """Let the handlers pass that wait at a gate."""
    with Http(server.address) as http:
        assert http.post("/outside/open_gate/", f'["{name}"]').text == "done"


def fill(client: Client, gate: str, server: Server) -> None:
    """Keep a client's handler busy, and send so much that the server stops reading."""
    client.send({"do": "wait", "gate": gate})
    server.journal.wait_for("waiting", client.id, gate)
    packets = ['42["message","' + "x" * 1000 + '"]'] * 30
    if isinstance(client.carrier, Polling):
        client.carrier.send_later(*packets)
    else:
        client.carrier.send(*packets)


class TestAHandlerThatAsksItsClient:
    def test_gets_the_answer_though_many_events_came_before_it(
        self, connect: Connect, transport: TransportName
    ) -> None:
        """Cursor positions, twenty a second, while the page asks its user something."""
        client = connect(transport)
        asked = client.ask_later("message", {"do": "method", "name": "call", "args": ["question"]})
        client.wait_until(lambda: any('["question"]' in packet for packet in client.packets))
        (ack_id,) = re.findall(r'^2([0-9]+)\["question"\]', client.packets[-1])
        for number in range(200):
            client.send({"do": "remember", "key": "cursor", "value": number})
        client.carrier.send(f'43{ack_id}["answer"]')
        assert client.answer_to(asked) == [["answer"]]


class TestPings:
    def test_go_on_while_the_server_reads_nothing(
        self, impatient: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport, to=impatient)
        gate = f"pings {transport}"
        fill(client, gate, impatient)
        pings = 0
        while pings < 3:  # unanswered: a client that polls can't, while its POST waits
            pings += client.carrier.receive().count("2")
        assert "on_disconnect" not in impatient.journal.events(client.id)
        open_gate(impatient, gate)
        if isinstance(client.carrier, Polling):
            client.carrier.wait_for_ok()
        assert client.do("nothing") == "nothing"


class TestAPollingClientThatIsGone:
    def test_is_noticed_though_the_server_reads_nothing(
        self, impatient: Server, connect: Connect
    ) -> None:
        client = connect("polling", to=impatient)
        fill(client, "gone", impatient)
        with Http(impatient.address) as http:
            before = stats(impatient)["sessions"]
            client.carrier.cut()
            wait_until(lambda: stats(impatient)["sessions"] < before, "the session to end")
            assert http.post("/outside/open_gate/", '["gone"]').text == "done"
        last = impatient.journal.wait_for("on_finish", client.id)[-1]
        assert last.details["close_reason"] in ("transport error", "ping timeout")


class TestAHandlerThatNeverWaits:
    COMPUTE: ClassVar = {"do": "pour", "count": 0, "size": 0, "compute": 2.0}

    def test_is_reported_with_debug_for_what_it_does_to_the_others(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(settings={"DEBUG": True})
        assert connect(to=server).call("message", self.COMPUTE) == "poured"
        server.wait_for_output(r"`compute` \(.+/commands\.py:\d+\) blocks the event loop: for more")
        server.wait_for_output(r"commands\.py\", line \d+, in obey\n    compute\(")

    def test_is_nobody_s_business_without_debug(self, server: Server, connect: Connect) -> None:
        assert connect().call("message", self.COMPUTE) == "poured"
        assert "blocks the event loop" not in server.output
