"""Malformed packets: that session ends with ``parse error``, and nobody else notices."""

import contextlib

import pytest

from tests.support.server import Server
from tests.support.types import Connect
from tests.support.websocket import BINARY, frame
from tests.support.wire import (
    TRANSPORTS,
    Carrier,
    OverWebSocket,
    Polling,
    Refused,
    TransportName,
)

BAD_PACKETS = [
    pytest.param("", id="nothing"),
    pytest.param("x", id="no type"),
    pytest.param("0", id="an open packet"),
    pytest.param("7", id="an unknown type"),
    pytest.param("5", id="an upgrade out of place"),
    pytest.param("٤2", id="another script's digit"),
    pytest.param("4", id="an empty message"),
    pytest.param("47", id="an unknown Socket.IO type"),
    pytest.param("4x", id="no Socket.IO type"),
    pytest.param("42", id="an event without data"),
    pytest.param("42[]", id="an event without a name"),
    pytest.param("42{}", id="an event that is no array"),
    pytest.param("42[1]", id="an event whose name is a number"),
    pytest.param("42[null]", id="an event whose name is null"),
    pytest.param('42["message"', id="JSON that does not end"),
    pytest.param('42["message"] x', id="something behind the JSON"),
    pytest.param('42["message",NaN]', id="NaN"),
    pytest.param('42["message",' + "[" * 5000 + "]" * 5000 + "]", id="too deep"),
    pytest.param('42["connect"]', id="a reserved name"),
    pytest.param('42["disconnect"]', id="another reserved name"),
    pytest.param("43[]", id="an acknowledgement without a number"),
    pytest.param("431", id="an acknowledgement without data"),
    pytest.param("431{}", id="an acknowledgement that is no array"),
    pytest.param('44{"message":"x"}', id="an error, which servers send"),
    pytest.param('42/other,["message","x"]', id="another namespace"),
    pytest.param("41/other,", id="the end of another namespace"),
    pytest.param("40", id="a second connect"),
    pytest.param('45["message"]', id="a binary event without a number"),
    pytest.param("4511-[]", id="too many attachments"),
    pytest.param(
        '451-["message",{"_placeholder":true,"num":0}]\x1e42["message","x"]',
        id="text while an attachment is due",
    ),
]


def send_with_attachment(carrier: Carrier, packet: str) -> None:
    """Send a packet and an attachment of three bytes."""
    if isinstance(carrier, OverWebSocket):
        carrier.send(packet)
        carrier.websocket.send(frame(BINARY, b"\x01\x02\x03"))
    else:
        carrier.send(packet, "bAQID")


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

    @pytest.mark.parametrize(
        "packet",
        [
            pytest.param(
                '451-["message",{"_placeholder":true,"num":1}]', id="a placeholder too far"
            ),
            pytest.param('451-["message","x"]', id="an attachment without a placeholder"),
        ],
    )
    def test_whose_attachments_do_not_fit_do_so_when_these_have_come(
        self, server: Server, connect: Connect, transport: TransportName, packet: str
    ) -> None:
        client = connect(transport)
        send_with_attachment(client.carrier, packet)
        last = server.journal.wait_for("on_finish", client.id)[-1]
        assert last.details["close_reason"] == "parse error"
        assert "on_message" not in server.journal.events(client.id)

    @pytest.mark.parametrize("packet", ['42["message","x"]', "41", "431[]", "4garbage"])
    def test_before_a_namespace_was_joined_end_the_session(
        self, connect: Connect, transport: TransportName, packet: str
    ) -> None:
        client = connect(transport, join=False)
        with contextlib.suppress(Refused):
            client.carrier.send(packet)
        client.wait_for_close()

    def test_what_came_before_them_is_handled(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        with contextlib.suppress(Refused):
            client.carrier.send('42["message","before"]', "4garbage", '42["message","after"]')
        happened = server.journal.wait_for("on_finish", client.id, "bare")
        assert [e.details["args"] for e in happened if e.event == "on_message"] == [["before"]]

    def test_that_wait_for_a_handler_end_it_when_their_turn_has_come(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        with contextlib.suppress(Refused):
            client.carrier.send('42["message","before"]', '42["message"', '42["message","after"]')
        happened = server.journal.wait_for("on_finish", client.id, "bare")
        assert [e.details["args"] for e in happened if e.event == "on_message"] == [["before"]]
        assert happened[-1].details["close_reason"] == "parse error"

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

    @pytest.mark.parametrize(
        "packet",
        [
            pytest.param("6", id="a noop"),
            pytest.param("3", id="a pong that nobody asked for"),
            pytest.param('42["unheard-of",1]', id="an event that nobody handles"),
            pytest.param('42["message"]', id="an event without arguments"),
            pytest.param('42["message",1,2]', id="several arguments"),
            pytest.param('42/,["message","x"]', id="the main namespace by its name"),
            pytest.param('42["message","\\ud800"]', id="half a character"),
        ],
    )
    def test_leave_the_session_alone(
        self, connect: Connect, transport: TransportName, packet: str
    ) -> None:
        client = connect(transport)
        client.carrier.send(packet)
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
