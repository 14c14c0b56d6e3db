"""Engine.IO packets over one WebSocket.

Sits between a ``Connection`` (bytes) and a session (packets); RFC 6455 itself is in
``protocol.websocket``. Everything here runs in loop callbacks.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

from socketio_server.engine.transports.base import TOO_FAST, Outgoing, TransportHandler
from socketio_server.exceptions import DecodeError, ProtocolError
from socketio_server.net.connection import Connection
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.loop import Loop, Watcher
from socketio_server.net.queued_output import SLOW, LostBecause
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.token_bucket import TokenBucket
from socketio_server.net.turns import LARGE, Turns
from socketio_server.options import Options
from socketio_server.protocol import engineio
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.websocket.closing_parser import ClosingParser
from socketio_server.protocol.websocket.frames import (
    Close,
    CloseCode,
    Opcode,
    Ping,
    Pong,
    encode_close,
    encode_frame,
)
from socketio_server.protocol.websocket.parser import Parser

_Event = str | bytes | Ping | Pong | Close

UNCOUNTED = 16_384
"""Up to so many bytes that were received and not handed up are not charged to the client."""

_MESSAGE = str(engineio.PacketType.MESSAGE.value)

_CLOSE_CODES = {
    CloseReason.PARSE_ERROR: CloseCode.INVALID_DATA,
    CloseReason.SERVER_SHUTTING_DOWN: CloseCode.GOING_AWAY,
}
"""The WebSocket close code for a session's end; all other reasons are a normal closure."""


class UpgradedConnection(NamedTuple):
    """The result of a WebSocket handshake.

    :param connection: the connection, not started yet.
    :param data: bytes that the client sent behind its handshake.
    :param deflates: whether permessage-deflate was agreed on.
    """

    connection: Connection
    data: bytes = b""
    deflates: bool = False


class WebSocketTransport:
    """Carries the packets of one session over a connection whose handshake is done.

    :param upgraded: the result of the handshake.
    :param session: gets the packets and the end.
    :param clock: a monotonic clock, in seconds.
    :param closings: the connections that wait for the peer's close frame; aborts them when due.
    :param turns: the turns of frames that can't be handled at once.
    """

    name = "websocket"
    is_download = False

    __slots__ = (
        "_charged",
        "_clock",
        "_closing",
        "_closings",
        "_connection",
        "_credit",
        "_deflates",
        "_early_data",
        "_is_due",
        "_loop",
        "_more_timer",
        "_options",
        "_parser",
        "_paused",
        "_pings",
        "_rate",
        "_session",
        "_turns",
        "direct",
    )

    def __init__(
        self,
        upgraded: UpgradedConnection,
        session: TransportHandler,
        loop: Loop,
        options: Options,
        clock: Callable[[], float],
        closings: Deadlines[Connection],
        turns: Turns,
    ) -> None:
        self._early_data = upgraded.data
        self._deflates = upgraded.deflates
        self._connection = upgraded.connection
        self._session: TransportHandler | None = session  # None once its end was reported
        self._loop = loop
        self._options = options
        self._clock = clock
        self._parser = Parser(
            max_message_size=options.max_payload,
            max_fragments=options.max_fragments,
            inflates=upgraded.deflates,
        )
        is_direct = self._takes_frames and not upgraded.deflates
        self.direct = upgraded.connection if is_direct else None
        """The connection that accepts ``Outgoing.frames`` unchanged (``Transport``)."""
        # Frames before the rate is looked at: half of the burst, because most clients never send as
        # many; the bucket begins with the other half.
        self._credit = options.max_packet_burst // 2
        self._rate: TokenBucket | None = None  # None while there is credit
        self._pings: TokenBucket | None = None  # None until the first ping
        self._paused = False  # the session wants no more packets for now
        self._closing = False  # our close frame is out
        self._closings = closings
        self._turns = turns
        self._charged = 0  # bytes that were received and not handed up, as charged to the client
        self._is_due = False  # received frames wait for their turn
        self._more_timer: Watcher | None = None  # begins that turn, if the client is throttled

    _takes_frames: ClassVar = True  # the client understands ``Outgoing.frames`` unchanged

    @property
    def writable(self) -> bool:
        """Whether the kernel has accepted all bytes so far."""
        return not self._connection.congested

    def start(self) -> None:
        """Begin to read.

        If frames and a request of the same client arrive together, the frames are handled first,
        because a poll behind the end of an upgrade must find the session upgraded.
        """
        data, self._early_data = self._early_data, b""
        self._connection.limit_silence(self._options.ping_interval + self._options.ping_timeout)
        self._connection.start(self, data, goes_first=True)

    def send(self, outgoing: Outgoing) -> None:
        """Send a message at once, or queue it if the peer is slow."""
        self._connection.write(self._deflate(outgoing) if self._deflates else outgoing.frames)

    def send_first(self, outgoing: Outgoing) -> None:
        """Send a heartbeat (``Transport``)."""
        self._connection.write_first(outgoing.frames)

    def close(self, reason: CloseReason) -> None:
        """Send a close frame, and give the peer ``close_timeout`` to answer it (RFC 6455 7.1.1).

        That time begins when the frame is sent, because messages may wait before it.
        """
        if not self._closing:
            self._send_close(_CLOSE_CODES.get(reason, CloseCode.NORMAL_CLOSURE))
            if not self._connection.tell_when_drained():
                self._closings.add(self._connection)
            self._report(reason)

    @property
    def queued_bytes(self) -> int:
        """Bytes that the kernel has not accepted yet."""
        return self._connection.queued

    @property
    def is_catching_up(self) -> bool:
        """Whether bytes wait, of which the client reads some now and then (``Transport``)."""
        return self._connection.congested

    @property
    def is_reading(self) -> bool:
        """Whether the client's packets are read just now (``Transport``)."""
        return not (self._paused or self._is_due)

    @property
    def is_receiving(self) -> bool:
        """Whether a large message has arrived in part (``Transport``)."""
        return self._charged > 0

    def ask_for_room(self) -> bool:
        """Return whether no more than ``high_water`` bytes wait for the client (``Transport``).

        There is none in a connection that is closed, until its loss is reported.
        """
        connection = self._connection
        mark = connection.high_water
        if connection.queued <= mark:
            return True
        connection.uncork()  # corked bytes would count, though the kernel may accept them
        return not (connection.closed or connection.tell_when_drained(mark))

    def give_up(self, because: LostBecause) -> None:
        """Close the connection (``Transport``)."""
        self._connection.give_up(because)

    def pause_reading(self) -> None:
        """Leave the client's bytes in the kernel, and send it the corked answers."""
        self._connection.uncork()
        self._paused = True
        self._connection.pause_reading()

    def resume_reading(self) -> None:
        """Handle the parsed frames, then read again."""
        if self._paused:
            self._paused = False
            self._continue_soon()

    def data_received(self, data: bytes) -> None:
        """Handle the next bytes (``ConnectionHandler``)."""
        parser = self._parser
        if self._paused or self._is_due:
            parser.receive_data(data)
            self._charge_rest()
            return
        text = parser.take_text(data)
        if text is None:
            parser.receive_data(data)
            self._handle_frames()
            return
        try:
            self._handle(text)
        except DecodeError as error:
            self._fail_soon(CloseCode.INVALID_DATA, str(error))

    def drained(self) -> None:
        """The client has read some of the queued bytes (``ConnectionHandler``)."""
        if self._closing:
            self._closings.add(self._connection)
        elif self._session is not None:
            self._session.room_made(self)

    def eof_received(self) -> bool:
        """The client has closed its side, which means that it has gone (``ConnectionHandler``)."""
        return False

    def connection_lost(self, because: LostBecause) -> None:
        """The connection is gone (``ConnectionHandler``)."""
        self._closings.discard(self._connection)
        self._parser.end()  # while this waits for its turn
        self._is_due = False
        self._stop_timer()
        clean = because in (LostBecause.EOF, LostBecause.CLOSED)
        try:
            if because in SLOW and self._session is not None:
                self._session.client_refused(SLOW[because], because.value)
        finally:
            self._report(CloseReason.TRANSPORT_CLOSE if clean else CloseReason.TRANSPORT_ERROR)

    def callback_raised(self) -> None:
        """Close the connection, and end the session now (``CallbackOwner``)."""
        self._connection.callback_raised()
        self._report(CloseReason.TRANSPORT_ERROR)

    def _handle_frames(self, room: int = LARGE) -> None:
        """Handle received bytes that are not just one short message.

        :param room: how many bytes may be inflated (``Parser.room``).
        """
        parser = self._parser
        parser.room = room
        if self._charged:  # the session counts what it gets
            self._charge(0)
        try:
            event = parser.next_event()
            if event is None:
                self._await_rest()
            elif parser.is_empty:
                self._handle(event)
                return
            else:
                self._handle_several(event)
        except ProtocolError as error:
            self._fail_soon(error.code, error.reason)
        except DecodeError as error:
            self._fail_soon(CloseCode.INVALID_DATA, str(error))
        self._charge_rest()

    def _handle_several(self, event: _Event) -> None:
        """Handle frames for one turn: a chatty client must not stop the others.

        Messages to the client are corked until the end of this turn of the loop, and go out
        together. Among them are the answers that handlers send without waiting, because the
        handlers run before the callback here.
        """
        connection, options = self._connection, self._options
        connection.cork()
        try:
            until = self._turns.until()
            for remaining in reversed(range(options.max_events_per_turn)):
                self._handle(event)
                if self._paused or self._is_due:
                    return
                if not remaining or self._clock() > until:
                    break
                following = self._parser.next_event()
                if following is None:
                    self._await_rest()
                    return
                event = following
            self._continue_soon()
        finally:
            self._loop.run_callback(Connection.uncork, connection)

    def _await_rest(self) -> None:
        """Wait until a message is complete, or may be inflated."""
        if self._parser.lacks_room:
            self._continue_soon(is_large=True)

    def _charge_rest(self) -> None:
        """Charge the client for what it has sent and is not handed up, if that is much: frames that
        wait, and an incomplete message.
        """
        unfinished = self._parser.unfinished
        if unfinished > UNCOUNTED:
            self._charge(unfinished)

    def _charge(self, size: int) -> None:
        """Charge the client for so many bytes, in place of those before."""
        change, self._charged = size - self._charged, size
        if change and self._session is not None:
            self._session.charge_session(change)

    def _handle(self, event: _Event) -> None:
        session = self._session
        self._credit -= 1
        if self._credit < 0:
            self._spend_rate()
        if isinstance(event, str):
            if session is None:
                return
            if event.startswith(_MESSAGE):
                session.message_received(self, event[1:])
            else:
                session.packet_received(self, self._decode_packet(event))
        elif isinstance(event, bytes):
            if session is not None:
                session.message_received(self, self._decode_binary(event))
        elif isinstance(event, Ping):
            self._check_ping()
            self._connection.write_first(encode_frame(Opcode.PONG, event.data))
        elif isinstance(event, Close):
            if not self._closing:
                self._send_close(event.code)
            self._closings.add(self._connection)
            self._connection.close()

    _decode_packet: ClassVar = staticmethod(engineio.decode_packet)

    def _deflate(self, outgoing: Outgoing) -> bytes:
        threshold = self._options.compression_threshold
        if threshold is None or len(outgoing.frames) < threshold:
            return outgoing.frames
        return outgoing.deflated_frames

    def _decode_binary(self, data: bytes) -> bytes:
        return data

    def _spend_rate(self) -> None:
        """Throttle a client that sends above the burst, and above the rate of the limit."""
        if self._rate is None:
            rate, burst = self._options.max_packet_rate, self._options.max_packet_burst
            self._rate = TokenBucket(rate, burst, self._clock(), tokens=burst - burst // 2)
        if not self._rate.spend() and (wait := self._rate.wait(self._clock())):
            if self._session is not None:
                self._session.client_refused(RefusalKind.RATE, TOO_FAST)
            self._continue_after(wait)

    def _check_ping(self) -> None:
        """Limit the rate of WebSocket pings, which have no use beside Engine.IO's heartbeat."""
        most, now = self._options.max_websocket_pings, self._clock()
        if self._pings is None:
            self._pings = TokenBucket(most, most, now)
        if not self._pings.take(now):
            raise ProtocolError(
                CloseCode.POLICY_VIOLATION, "too many pings (SOCKETIO_MAX_WEBSOCKET_PINGS)"
            )

    def _continue_soon(self, *, is_large: bool = False) -> None:
        """Handle frames again after the loop has served other clients.

        :param is_large: whether the next message takes long to inflate.
        """
        self._connection.pause_reading()
        if not self._is_due:
            self._is_due = True
            if is_large:
                self._turns.add(WebSocketTransport._continue_large, self, is_large=True)
            else:
                self._turns.add(WebSocketTransport._continue, self)

    def _continue_after(self, wait: float) -> None:
        """Handle frames again after ``wait`` seconds."""
        self._connection.pause_reading()
        if not self._is_due:
            self._is_due = True
            self._more_timer = self._loop.timer(wait)
            self._loop.start(self._more_timer, WebSocketTransport._continue, self)

    def _continue(self, room: int = LARGE) -> None:
        self._stop_timer()
        if not self._is_due:
            return  # the connection was lost
        self._is_due = False
        if not self._paused:
            self._connection.resume_reading()
            self._handle_frames(room)

    def _continue_large(self) -> None:
        self._continue(self._options.max_payload + 1)

    def _stop_timer(self) -> None:
        if self._more_timer is not None:
            self._more_timer.close()
            self._more_timer = None

    def _send_close(self, code: int | None, reason: str = "") -> None:
        """Send our close frame, and read on, up to the peer's.

        After calling this, add the connection to ``_closings``.
        """
        self._closing = True
        self._parser = ClosingParser(self._parser)
        self._connection.write(encode_close(code, reason))
        self.resume_reading()

    def _fail_soon(self, code: int, reason: str) -> None:
        """Refuse a frame of the peer, and handle no later one.

        The refusal follows at the end of this turn of the loop: the frames before it may still be
        answered.
        """
        self.pause_reading()
        self._loop.run_callback(WebSocketTransport._fail, self, code, reason)

    def _fail(self, code: int, reason: str) -> None:
        """Refuse a frame of the peer, and drop all later bytes (RFC 6455 7.1.1 and 7.1.7).

        The connection reads them to drop them, because a peer may send everything before it reads.
        """
        if self._connection.closed:
            return
        if self._session is not None:
            self._session.client_refused(RefusalKind.PACKET, reason)
        if not self._closing:
            self._send_close(code, reason)
        self._connection.resume_reading()
        self._closings.add(self._connection)
        self._connection.hang_up()
        self._report(CloseReason.PARSE_ERROR)

    def _report(self, reason: CloseReason) -> None:
        self._charge(0)
        session, self._session = self._session, None
        if session is not None:
            session.transport_closed(self, reason)
