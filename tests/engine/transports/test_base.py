"""What polling and WebSocket have in common: a message that is encoded once for both."""

import pytest

from socketio_server.engine.transports.base import (
    CLOSE,
    PING,
    PONG,
    PROBE_PONG,
    ClosedTransport,
    Outgoing,
    limit_deflating,
)
from socketio_server.protocol.close_reasons import CloseReason


class TestOutgoing:
    def test_a_text_message_is_one_packet_and_one_frame(self) -> None:
        outgoing = Outgoing(b'42["message","hi"]')

        assert outgoing.packets == [b'42["message","hi"]']
        assert outgoing.frames == b'\x81\x1242["message","hi"]'

    def test_attachments_follow_it_in_order(self) -> None:
        outgoing = Outgoing(b"452-[]", [b"\x01\x02", b""])

        assert outgoing.packets == [b"452-[]", b"bAQI=", b"b"]
        assert outgoing.frames == b"\x81\x06452-[]" + b"\x82\x02\x01\x02" + b"\x82\x00"

    def test_it_is_deflated_once_for_all_who_accept_that(self) -> None:
        outgoing = Outgoing(b"42" + b"x" * 1000, [b"y" * 1000])

        outgoing.share()
        deflated = outgoing.deflated_frames
        assert len(deflated) < 100
        assert outgoing.deflated_frames is deflated

        outgoing.unshare()
        assert outgoing.deflated_frames == deflated
        assert outgoing.deflated_frames is not deflated

    def test_of_many_only_some_are_deflated(self) -> None:
        """As many as one large message has bytes."""
        messages = [Outgoing(b"4" + b"x" * 10_000) for _ in range(5)]
        limit_deflating(messages)

        plain = [each.deflated_frames == each.frames for each in messages]
        assert plain == [False, False, False, True, True]

    @pytest.mark.parametrize(
        ("outgoing", "packet"),
        [(PING, b"2"), (PONG, b"3"), (CLOSE, b"1"), (PROBE_PONG, b"3probe")],
    )
    def test_what_never_changes_is_made_once(self, outgoing: Outgoing, packet: bytes) -> None:
        assert outgoing.packets == [packet]


class TestClosedTransport:
    @pytest.mark.parametrize("name", ["", "polling", "websocket"])
    def test_it_keeps_the_name_of_the_transport_that_was(self, name: str) -> None:
        assert ClosedTransport(name).name == name

    def test_whatever_is_asked_of_it_is_harmless(self) -> None:
        transport = ClosedTransport("polling")
        transport.send(PING)
        transport.close(CloseReason.FORCED_CLOSE)
        transport.pause_reading()
        transport.resume_reading()
