"""Malformed packets: that session ends with ``parse error``, and nobody else notices."""

import contextlib

import pytest

from tests.support.http import Refused
from tests.support.server import Server
from tests.support.types import Connect
from tests.support.wire import (
    TRANSPORTS,
    Polling,
    TransportName,
)

BAD_PACKETS = [
    pytest.param("7", id="of Engine.IO"),
    pytest.param("47", id="of Socket.IO"),
    pytest.param('42["message"', id="JSON, which is decoded when its turn has come"),
    pytest.param(
        '451-["message",{"_placeholder":true,"num":0}]\x1e42["message","x"]',
        id="text while an attachment is due",
    ),
]
"""One for each layer that ends a session; ``tests.protocol`` and ``tests.dispatch`` have more."""


class TestMalformedPackets:
    @pytest.mark.parametrize("packet", BAD_PACKETS)
    def test_end_the_session_and_no_other(
        self, server: Server, connect: Connect, transport: TransportName, packet: str
    ) -> None:
        other, client = connect(transport), connect(transport)
        with contextlib.suppress(Refused):
            client.carrier.send(*packet.split("\x1e"))
        last = server.journal.wait_for("on_finish", client.id)[-1]
        assert last.details["close_reason"] == "parse error"
        assert "on_message" not in server.journal.events(client.id)
        assert "on_error" not in server.journal.events(client.id)
        client.wait_for_close()
        assert other.messages() == []

    def test_what_came_before_them_is_handled(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        with contextlib.suppress(Refused):
            client.carrier.send('42["message","before"]', "4garbage", '42["message","after"]')
        happened = server.journal.wait_for("on_finish", client.id, "bare")
        assert [e.details["args"] for e in happened if e.event == "on_message"] == [["before"]]

    @pytest.mark.one_process("lets one process stand still")
    def test_what_came_before_them_is_answered(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        packets = ('4277["message",{"do":"nothing"}]', "4garbage")
        if isinstance(client.carrier, Polling):  # a poll that comes later is refused
            client.carrier.start_poll()
            client.carrier.post('42["nobody"]')  # it waits for its answer by now
            client.carrier.send_later(*packets)
        else:
            with server.stopped():  # so that it reads them in one go
                client.carrier.send(*packets)
        client.wait_for_close()
        assert client.packets[-1] == '377["nothing"]'

    def test_over_polling_are_answered_with_a_400(self, connect: Connect) -> None:
        client = connect("polling")
        assert isinstance(client.carrier, Polling)
        response = client.carrier.post("4garbage")
        assert (response.status, response.json["code"]) == (400, 3)

    def test_are_no_errors_in_the_log(self, server: Server, connect: Connect) -> None:
        before = len(server.output)
        for transport in TRANSPORTS:
            client = connect(transport)
            with contextlib.suppress(Refused):
                client.carrier.send("4garbage")
            server.journal.wait_for("on_finish", client.id)
        assert "Traceback" not in server.output[before:]


class TestBytesThatAreNoText:
    @pytest.mark.parametrize("body", [b"\xff", b'42["message","\xc3"]', b"b!", b"bAA", b"\x1e"])
    def test_over_polling_end_the_session(
        self, server: Server, connect: Connect, body: bytes
    ) -> None:
        client = connect("polling")
        assert isinstance(client.carrier, Polling)
        assert client.carrier.post(body).status == 400
        last = server.journal.wait_for("on_finish", client.id)[-1]
        assert last.details["close_reason"] == "parse error"

    def test_an_attachment_of_no_packet_ends_the_session(
        self, server: Server, connect: Connect
    ) -> None:
        client = connect("polling")
        assert isinstance(client.carrier, Polling)
        assert client.carrier.post(b"bAQID").status == 400
        last = server.journal.wait_for("on_finish", client.id)[-1]
        assert last.details["close_reason"] == "parse error"


class TestUnusualPackets:
    """They are no errors."""

    def test_leave_the_session_alone(self, connect: Connect, transport: TransportName) -> None:
        client = connect(transport)
        client.carrier.send("6")  # a noop
        client.carrier.send("3")  # a pong that nobody asked for
        client.carrier.send('42["unheard-of",1]')
        client.carrier.send('42["message"]')
        client.carrier.send('42/,["message","x"]')
        client.carrier.send('42["message","\\ud800"]')  # half a character
        assert client.messages() == []

    def test_several_arguments_arrive_as_a_list(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        client.carrier.send('42["message",1,{"two":2}]')
        client.messages()
        received = server.journal.entries(client.id, "bare")[-1]
        assert received.details["args"] == [[1, {"two": 2}]]

    def test_an_unknown_namespace_is_answered_with_an_error(
        self, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        client.carrier.send("40/other,")
        client.wait_until(lambda: len(client.packets) > 1)
        assert client.packets[-1] == '4/other,{"message":"Invalid namespace"}'
        assert client.messages() == []
