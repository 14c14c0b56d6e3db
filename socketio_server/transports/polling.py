"""Engine.IO packets over HTTP long-polling.

The session's packets wait in a queue until a GET takes them as one payload; a POST brings the
client's. ``answer_get`` and ``answer_post`` run in the greenlet of their HTTP request and may wait
there; all else never waits.
"""

import socket as socket_module
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import ClassVar

import gevent
from gevent import socket
from gevent.event import Event

from socketio_server.answers import Response
from socketio_server.connection import Loop
from socketio_server.exceptions import DecodeError
from socketio_server.options import Options
from socketio_server.protocol import engineio
from socketio_server.protocol.engineio import CloseReason, ErrorCode, Packet, PacketType
from socketio_server.ratelimit import RateLimit
from socketio_server.transports.base import CLOSE, Outgoing, TransportHandler

PROBE_POLL_TIME = 0.1
"""How long a GET waits, in seconds, while a probe is under way: the client is about to stop
polling and must not be held, and one that goes on polling must not spin (the reference server's
interval)."""

PACKETS_PER_ANSWER = 16
"""Packets in one answer to a poll, so long as no message has more: the official Python client takes
sixteen and gives up the connection over more."""

_READ = 1  # libev's event mask


def error_response(code: ErrorCode, message: str | None = None) -> Response:
    """An Engine.IO error: 403 where forbidden, else 400, with the reference server's JSON.

    :param message: other words than the reference server's for this code.
    """
    status = 403 if code is ErrorCode.FORBIDDEN else 400
    return Response(status, engineio.encode_error(code, message), "application/json")


class PollingTransport:
    """Carries the packets of one session over successive HTTP requests.

    :param session: gets the packets and the end.
    """

    name = "polling"

    __slots__ = (
        "_loop",
        "_on_quiet",
        "_options",
        "_poll",
        "_poll_sock",
        "_posting",
        "_probing",
        "_queue",
        "_queued_bytes",
        "_rate",
        "_resumed",
        "_room",
        "_session",
    )

    def __init__(self, session: TransportHandler, loop: Loop, options: Options) -> None:
        self._session: TransportHandler | None = session  # None once closed or handed over
        self._loop = loop
        self._options = options
        self._queue: deque[Outgoing] = deque()
        self._queued_bytes = 0
        self._rate = RateLimit(options.max_packet_rate, options.max_packet_burst, monotonic())
        self._poll: Event | None = None  # set to release the GET that waits
        self._poll_sock: socket.socket | None = None  # that GET's
        self._posting = False
        self._on_quiet: Callable[[], None] | None = None  # to be called when no POST is under way
        self._probing = False  # a WebSocket is about to take over
        self._room: Event | None = None  # while a POST waits for GETs
        self._resumed: Event | None = None  # while the session wants no more packets

    @property
    def writable(self) -> bool:
        """Whether a GET waits for something to send."""
        return self._poll is not None and not self._queue

    @property
    def is_read(self) -> bool:
        """Whether a POST would be taken in at once."""
        return self._resumed is None

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for a GET."""
        return self._queued_bytes

    @property
    def drained(self) -> bool:
        """Whether everything queued went into an answer."""
        return not self._queue

    def send(self, outgoing: Outgoing) -> None:
        """Queue a message for the next payload; too many of them close the session."""
        if self._session is None:
            return
        self._queue.append(outgoing)
        self._queued_bytes += len(outgoing.frames)
        options = self._options
        if self._queued_bytes > options.max_queued_bytes or len(self._queue) > (
            options.max_queued_packets
        ):
            self._session.client_refused("slow client", "it fetched too little of what waits")
            self._loop.run_callback(self._report, CloseReason.TRANSPORT_ERROR)
        self._release()

    def close(self, reason: CloseReason) -> None:
        """Queue a close packet behind all else, and let the waiting GET have it."""
        if self._session is not None:
            self._queue.append(CLOSE)
            self._queued_bytes += len(CLOSE.frames)
            self._release()
            self._report(reason)

    def pause_reading(self) -> None:
        """Let the POST that is under way wait for its answer."""
        if self._resumed is None:
            self._resumed = Event()

    def resume_reading(self) -> None:
        """Answer the POST that waits."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.set()

    def start_probe(self) -> None:
        """A WebSocket probes: release the waiting GET, so that the client can stop polling."""
        self._probing = True
        self._release()
        if self._room is not None:
            self._room.set()

    def end_probe(self) -> None:
        """The probe failed: GETs wait again as long as they like."""
        self._probing = False

    def when_quiet(self, callback: Callable[[], None]) -> None:
        """Call back once no POST is under way: at once, or when its packets were handed up."""
        if self._posting:
            self._on_quiet = callback
        else:
            callback()

    def hand_over(self) -> Iterable[Outgoing]:
        """Give up: return what is still queued, for the transport that takes over."""
        queue, self._queue = self._queue, deque()
        self._session = None
        self._release()
        self.resume_reading()
        return queue

    def answer_get(self, sock: socket.socket) -> Response | None:
        """Answer a poll with what is queued, or wait until there is something.

        :param sock: the request's socket, watched for a client that goes away.
        :return: the payload; ``None`` if the client went away before there was one.
        """
        if self._poll is not None and self._poll_sock is not None and _is_gone(self._poll_sock):
            self._poll.set()  # its client is back with the next before the loop told us
            self._poll = None
        if self._poll is not None:
            self._fail("a second GET while one is pending")
            return error_response(ErrorCode.BAD_REQUEST)
        if not self._queue and self._session is not None and not self._wait(sock):
            return None
        return self.answer_at_once()

    def answer_at_once(self) -> Response:
        """Answer with what is queued; with nothing but a noop packet if that is nothing."""
        packets: list[bytes] = []
        queue = self._queue
        while queue and (not packets or len(packets) + queue[0].count <= PACKETS_PER_ANSWER):
            if packets and queue[0] is CLOSE:
                break  # the JavaScript client acts on it before it hands out what came before
            outgoing = queue.popleft()
            self._queued_bytes -= len(outgoing.frames)
            packets += self._packets_of(outgoing)
        if self._room is not None and not self._is_half_full():
            self._room.set()
        return Response(200, self._encode_payload(packets or [engineio.NOOP]))

    def answer_post(self, body: bytes, content_type: str) -> Response:
        """Take the packets of a payload; waits while the session is paused.

        :param content_type: the request's header of that name.
        """
        session = self._session
        if session is None:
            return error_response(ErrorCode.BAD_REQUEST)
        if self._posting:
            self._fail("a second POST while one is pending")
            return error_response(ErrorCode.BAD_REQUEST)
        self._posting = True
        try:
            self._take_payload(session, self._decode_payload(body, content_type))
        except DecodeError as error:
            self._fail(str(error))
            return error_response(ErrorCode.BAD_REQUEST)
        finally:
            self._posting = False
            on_quiet, self._on_quiet = self._on_quiet, None
            if on_quiet is not None:
                on_quiet()
        return Response(200, b"ok", "text/html")

    def _take_payload(self, session: TransportHandler, packets: Iterable[Packet]) -> None:
        """Hand up a payload's packets, as fast as the session takes them, and in turns."""
        options = self._options
        until = monotonic() + options.max_time_per_turn
        for packet in packets:
            if packet.type is PacketType.MESSAGE:
                session.message_received(self, packet.data)
            else:
                session.packet_received(self, packet)
            if self._resumed is not None:
                self._resumed.wait()
            elif self._is_half_full() and not self._probing:
                self._wait_for_room()
            elif not self._rate.spend():
                gevent.sleep(self._rate.wait(monotonic()))
            elif monotonic() > until:
                gevent.sleep(0)
                until = monotonic() + options.max_time_per_turn

    def _is_half_full(self) -> bool:
        """Whether the client must fetch before it may send more: an echo flood pays for itself."""
        options = self._options
        return (
            self._queued_bytes > options.max_queued_bytes // 2
            or len(self._queue) > options.max_queued_packets // 2
        )

    def _wait_for_room(self) -> None:
        """Let the POST wait until GETs have fetched enough; without any, the client is closed."""
        while self._is_half_full() and self._session is not None and not self._probing:
            self._room = Event()
            before = self._queued_bytes
            self._room.wait(self._options.stall_timeout)
            if self._queued_bytes >= before and self._session is not None and not self._probing:
                self._session.client_refused("slow client", "it fetched nothing of what waits")
                self._report(CloseReason.TRANSPORT_ERROR)
        self._room = None

    _encode_payload: ClassVar = staticmethod(engineio.encode_payload)

    def _packets_of(self, outgoing: Outgoing) -> list[bytes]:
        return outgoing.packets

    def _decode_payload(self, body: bytes, content_type: str) -> list[Packet]:
        return engineio.decode_payload(body, self._options.max_packets_per_payload)

    def _wait(self, sock: socket.socket) -> bool:
        """Wait for something to send; return whether the client is still there."""
        self._poll = released = Event()
        self._poll_sock = sock
        gone = False

        def on_readable() -> None:
            nonlocal gone
            watcher.stop()
            gone = _is_gone(sock)
            if gone:
                released.set()
                self._poll = None  # its client may be back with the next already

        watcher = self._loop.io(sock.fileno(), _READ)
        watcher.start(on_readable)
        try:
            released.wait(PROBE_POLL_TIME if self._probing else None)
        finally:
            watcher.close()
            if self._poll is released:
                self._poll = None
        return not (gone or _is_gone(sock))

    def _release(self) -> None:
        if self._poll is not None:
            self._poll.set()

    def _fail(self, why: str) -> None:
        if self._session is not None:
            self._session.client_refused("packet", why)
        self.close(CloseReason.PARSE_ERROR)

    def _report(self, reason: CloseReason) -> None:
        session, self._session = self._session, None
        self._release()
        self.resume_reading()
        if self._room is not None:
            self._room.set()
        if session is not None:
            session.transport_closed(self, reason)


def _is_gone(sock: socket.socket) -> bool:
    """Whether a socket was closed by its peer; never waits."""
    timeout = sock.gettimeout()
    sock.settimeout(0.0)
    try:
        return not sock.recv(1, socket_module.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        sock.settimeout(timeout)
