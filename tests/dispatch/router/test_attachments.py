"""Packets that wait for their attachments."""

import pytest

from socketio_server.net.deadlines import TICK
from socketio_server.protocol.close_reasons import CloseReason
from tests.dispatch.router.steps import got, make_server
from tests.fakes.engine import MOMENT
from tests.fakes.server import FakeClient


class TestAttachments:
    def test_a_packet_waits_for_its_own(self, client: FakeClient) -> None:
        client.send('51-["message",{"_placeholder":true,"num":0}]')
        assert got(client) == []

        client.send(b"\x01\x02")
        assert got(client) == [b"\x01\x02"]

    def test_several_come_in_order(self, client: FakeClient) -> None:
        client.send(
            '52-["message",[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]]',
            b"first",
            b"second",
            '2["message","next"]',
        )

        assert got(client) == [[b"second", b"first"], "next"]

    @pytest.mark.parametrize(
        "packets",
        [
            pytest.param([b"\x01"], id="one that belongs to nothing"),
            pytest.param(
                ['51-["message",{"_placeholder":true,"num":0}]', '2["message","hi"]'],
                id="text while one is due",
            ),
            pytest.param(['51-["message","hi"]', b""], id="announced without a placeholder"),
            pytest.param(
                ['51-["message",{"_placeholder":true,"num":1}]', b""], id="placeholder out of range"
            ),
            pytest.param(['511-["message"]'], id="too many"),
        ],
    )
    def test_what_does_not_fit_closes_the_session(
        self, client: FakeClient, packets: list[str | bytes]
    ) -> None:
        client.send(*packets)

        assert client.closed == [CloseReason.PARSE_ERROR]

    def test_together_they_may_not_be_larger_than_a_message(self) -> None:
        client = make_server(max_payload=100).connect()
        placeholders = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
        client.send(f'52-["message",{placeholders}]', b"x" * 60)
        assert client.closed == []

        client.send(b"x" * 60)
        assert client.closed == [CloseReason.PARSE_ERROR]

    def test_must_come_in_time(self) -> None:
        server = make_server(attachment_timeout=MOMENT)
        client = server.connect()
        client.send('52-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]')
        client.send(b"x")
        server.loop.advance(TICK)
        assert client.closed == [CloseReason.PARSE_ERROR]
        assert client.refusals == [
            "packet: attachments did not arrive in time (SOCKETIO_ATTACHMENT_TIMEOUT)"
        ]

    def test_of_a_client_that_has_gone_are_not_awaited(self) -> None:
        server = make_server(attachment_timeout=MOMENT)
        client = server.connect()
        client.send('51-["message",{"_placeholder":true,"num":0}]')
        client.leave()
        server.loop.advance(TICK)
        assert client.refusals == []

    def test_that_came_are_not_awaited(self) -> None:
        server = make_server(attachment_timeout=MOMENT)
        client = server.connect()
        client.send('51-["message",{"_placeholder":true,"num":0}]', b"x")
        server.loop.advance(TICK)
        assert client.closed == []

    def test_of_a_client_that_is_closed_for_their_packet_are_not_waited_for(self) -> None:
        server = make_server(max_pending_total=17_000, attachment_timeout=MOMENT)
        client = server.connect()
        client.send('51-["message",{"_placeholder":true,"num":0},"' + "x" * 17_000 + '"]')
        assert client.closed == [CloseReason.TRANSPORT_ERROR]
        refusals = list(client.refusals)

        server.loop.advance(2 * TICK)
        assert client.refusals == refusals
