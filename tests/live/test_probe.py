"""An upgrade that fails half-way leaves polling as it was (Engine.IO, "Upgrade")."""

import pytest

from tests.live.test_upgrade import NUMBERS, received
from tests.support import websocket
from tests.support.client import Client
from tests.support.server import Server
from tests.support.types import Connect
from tests.support.views import outside
from tests.support.websocket import WebSocket
from tests.support.wire import Upgrading, open_probe


class TestAProbeThatFails:
    """It closes the new WebSocket alone, and the session goes on over polling."""

    @pytest.mark.parametrize(
        "first",
        [
            pytest.param(["garbage"], id="garbage"),
            pytest.param(["2probe", "1"], id="a close after the probe"),
        ],
    )
    def test_because_it_says_something_wrong(
        self, server: Server, upgrading_client: Client, upgrading: Upgrading, first: list[str]
    ) -> None:
        probe = open_probe(upgrading.polling)
        for packet in first:
            probe.send_text(packet)
        probe.wait_for_close()
        self.check_polling(server, upgrading_client)

    @pytest.mark.parametrize("packets", [[], ["2probe"]])
    @pytest.mark.parametrize("way", [WebSocket.close, WebSocket.cut, WebSocket.reset])
    def test_because_the_websocket_goes(
        self,
        server: Server,
        upgrading_client: Client,
        upgrading: Upgrading,
        packets: list[str],
        way: object,
    ) -> None:
        probe = open_probe(upgrading.polling)
        for packet in packets:
            probe.send_text(packet)
            probe.receive_text()
        assert callable(way)
        way(probe)
        self.check_polling(server, upgrading_client)

    @pytest.mark.parametrize(
        "frame",
        [b"\x81\x02hi", websocket.frame(0x3), b"\xff\xff"],
        ids=["unmasked", "unknown opcode", "reserved bits"],
    )
    def test_because_it_breaks_the_protocol_of_websockets(
        self, server: Server, upgrading_client: Client, upgrading: Upgrading, frame: bytes
    ) -> None:
        probe = open_probe(upgrading.polling)
        probe.send(frame)
        assert probe.wait_for_close().code == 1002
        self.check_polling(server, upgrading_client)

    @pytest.mark.parametrize("packets", [[], ["2probe"]])
    def test_because_it_stays_silent(
        self, impatient: Server, connect: Connect, packets: list[str]
    ) -> None:
        client = connect("polling", to=impatient)
        probe = open_probe(client.carrier)  # type: ignore[arg-type]
        for packet in packets:
            probe.send_text(packet)
            probe.receive_text()
        probe.wait_for_close()
        self.check_polling(impatient, client)

    def test_while_messages_are_on_their_way_without_a_loss(
        self, server: Server, upgrading_client: Client, upgrading: Upgrading
    ) -> None:
        upgrading_client.do("count", to=NUMBERS)
        for _ in range(3):
            upgrading.polling.start_poll()
            probe = open_probe(upgrading.polling)
            probe.send_text("2probe")
            assert probe.receive_text() == "3probe"
            upgrading_client.take_packets()
            probe.cut()
            upgrading_client.take_packets()
        assert upgrading_client.next_messages(NUMBERS) == list(range(NUMBERS))

    def test_leaves_room_for_another_try(
        self, upgrading_client: Client, upgrading: Upgrading
    ) -> None:
        probe = open_probe(upgrading.polling)
        probe.send_text("garbage")
        probe.wait_for_close()
        upgrading.upgrade()
        assert upgrading_client.attribute("transport") == "websocket"

    def check_polling(self, server: Server, client: Client) -> None:
        """Check that a session goes on over polling, in both directions."""
        client.send("still here")
        outside(server, "send", client.id, "still there")
        assert client.next_message() == "still there"
        assert received(server, client) == ["still here"]
        assert client.attribute("transport") == "polling"
