"""Engine.IO packets over HTTP long-polling.

The session's packets wait in a queue until a GET fetches them as one payload. A POST carries the
client's packets (``posts.py``). The requests are ``Exchange``s: they are answered now or later, and
no method here waits.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import ClassVar
from weakref import ref

from socketio_server.engine.transports.base import (
    CLOSE,
    HEARTBEATS,
    PING,
    Outgoing,
    TransportHandler,
)
from socketio_server.engine.transports.exchange import BAD_REQUEST, Exchange
from socketio_server.engine.transports.posts import PostReceiver
from socketio_server.net.loop import Loop, Watcher
from socketio_server.net.queued_output import (
    ENTRY_COST,
    MESSAGE_COST,
    SLOW,
    Backlog,
    LostBecause,
    QueuedOutput,
)
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.turns import LARGE, Turns
from socketio_server.options import Options
from socketio_server.protocol import engineio
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.http1.responses import Response

PROBE_POLL_TIME = 0.1
"""Seconds that a GET waits while a probe is under way (the reference server's interval): the client
must not be held, because it is about to stop polling; a client that goes on polling must not
spin."""

LIGHT = 4096
"""Bytes, each message with its ``ENTRY_COST``, that may wait for a client without being counted for
the process: about the memory of the client itself, and more than its next GET mostly finds."""

PYTHON_AGENTS = ("python-", "Python/")
"""How the ``User-Agent`` of the official Python client begins."""

PACKETS_FOR_PYTHON = 16
"""Packets in one answer to the official Python client, unless a single message has more: it closes
the connection over more."""


class PollingTransport(PostReceiver):
    """Carries the packets of one session over successive HTTP requests.

    :param session: gets the packets and the end.
    :param clock: a monotonic clock, in seconds.
    :param output: the account of the messages that are queued for all clients.
    :param turns: the turns of POSTs that take long.
    """

    name = "polling"
    direct = None
    is_download = False

    __slots__ = (
        "_answer",
        "_answers_soon",
        "_backlog",
        "_output",
        "_poll",
        "_poll_timer",
        "_probing",
        "_queue",
        "_queued_bytes",
        "_tells_of_room",
        "given_up",
        "packets_per_answer",
    )

    def __init__(
        self,
        session: TransportHandler,
        loop: Loop,
        options: Options,
        clock: Callable[[], float],
        output: QueuedOutput,
        turns: Turns,
    ) -> None:
        super().__init__(session, loop, options, clock, turns)
        self._queue: deque[Outgoing] = deque()
        self._queued_bytes = 0
        self._output = output
        self._backlog: Backlog | None = None  # from more than LIGHT on, until nothing waits
        self.given_up = False
        """Whether the session is about to be closed, because its client is slow."""
        # The last GET, if its answer may be under way yet: then its connection keeps it.
        self._answer: ref[Exchange] | None = None
        self.packets_per_answer = sys.maxsize
        """Packets that one answer may have, unless a single message has more."""
        self._poll: Exchange | None = None  # the GET that waits
        self._poll_timer: Watcher | None = None  # ends it while a probe is under way
        self._answers_soon = False  # the GET is answered at the end of this turn of the loop
        self._tells_of_room = False  # the session is told when there is room again
        self._probing = False  # a WebSocket is about to take over

    @property
    def writable(self) -> bool:
        """Whether a GET waits for messages."""
        return self._poll is not None and not self._queue

    @property
    def is_reading(self) -> bool:
        """Whether a POST would be handled at once; or no GET has arrived since a ping was due.
        Such a missing GET proves as much as a missing pong.
        """
        return not (self._paused or self._incoming is not None or self._is_due) or (
            bool(self._queue) and self._queue[0] is PING
        )

    @property
    def is_catching_up(self) -> bool:
        """Whether many bytes wait for GETs, which arrive now and then (``Transport``)."""
        return self._backlog is not None and self._queue_cost > self._options.send_buffer

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for a GET."""
        return self._queued_bytes

    @property
    def _queue_cost(self) -> int:
        """Bytes that wait for a GET, with those that the queue takes for each message."""
        return self._queued_bytes + ENTRY_COST * len(self._queue)

    @property
    def _is_above_high_water(self) -> bool:
        """Whether more than ``high_water`` bytes wait, each message with what it takes besides its
        own if no other client gets it: much more, if it is small.
        """
        cost = self._queued_bytes + (ENTRY_COST + MESSAGE_COST) * len(self._queue)
        return cost > self._output.high_water

    @property
    def is_finished(self) -> bool:
        """Whether the session is over, and the client has fetched everything."""
        return self._session is None and not self._queue

    @property
    def is_answering(self) -> bool:
        """Whether the client has yet to read some of the last GET's answer."""
        answer = None if self._answer is None else self._answer()
        return answer is not None and answer.is_underway()

    def send(self, outgoing: Outgoing) -> None:
        """Queue a message for the next payload; too many bytes close the session (``give_up``)."""
        if self._session is None or self.given_up:
            return
        self._queue.append(outgoing)
        self._queued_bytes += len(outgoing.frames)
        if self._backlog is not None:
            self._backlog.add(outgoing.frames)
        elif self._queue_cost > LIGHT:
            self._begin_backlog()
        output = self._output
        if self._is_above_high_water:
            output.crossings += 1
            if self._queued_bytes > output.max_queued_bytes:
                self.give_up(LostBecause.OVERFLOW)
        self._answer_soon()

    def send_first(self, outgoing: Outgoing) -> None:
        """Queue a heartbeat before all messages (``Transport``), unless one is queued already."""
        queue = self._queue
        if self._session is not None and not (queue and queue[0] in HEARTBEATS):
            queue.appendleft(outgoing)
            self._queued_bytes += len(outgoing.frames)
            self._answer_soon()

    def close(self, reason: CloseReason) -> None:
        """Queue a close packet behind all messages, and answer the waiting GET.

        A client that closed the session itself gets none: its GET gets the queued messages, or a
        noop.
        """
        if self._session is not None:
            if reason is not CloseReason.TRANSPORT_CLOSE:
                self._queue.append(CLOSE)
                self._queued_bytes += len(CLOSE.frames)
            self._answer_soon()
            self._report(reason)

    def ask_for_room(self) -> bool:
        """Return whether no more than ``high_water`` bytes wait for the client (``Transport``).

        There is none for a client that is given up, until its session is closed.
        """
        is_full = self.given_up or self._is_above_high_water
        self._tells_of_room = self._session is not None and is_full
        return not self._tells_of_room

    def start_probe(self) -> None:
        """A WebSocket probes: answer the waiting GET, because the client wants to stop polling."""
        self._probing = True
        self._answer_soon()

    def end_probe(self) -> None:
        """The probe failed: let GETs wait without a limit again."""
        self._probing = False

    def hand_over(self) -> Iterable[Outgoing]:
        """Stop, and return the queued messages for the transport that takes over."""
        self._end_backlog()
        self._end_arriving()
        queue, self._queue = self._queue, deque()
        self._queued_bytes = 0
        self._session = None
        self._answer_soon()
        return queue

    def discard_queue(self) -> None:
        """Drop the queued messages, because the client won't fetch them any more."""
        self._end_backlog()
        self._queue.clear()
        self._queued_bytes = 0

    def answer_get(self, poll: Exchange) -> None:
        """Answer a GET with the queued messages, or as soon as there are any."""
        if self.is_answering:
            self._refuse_get(poll, "GET before the answer to the last one was read")
            return
        if self._poll is not None:
            if poll.has_ended():
                return  # the client has given it up, and sent the one that waits
            if not self._poll.has_ended():
                self._refuse_get(poll, "second GET while one is pending")
                return
            self._end_poll()  # the client has given it up, and the loop did not report it yet
        is_due = bool(self._queue) or self._session is None
        if is_due and self._queued_bytes <= LARGE:
            self._reply(poll)
            return
        self._poll = poll
        if is_due:
            self._answer_soon()
        elif self._probing:
            self._poll_timer = self._loop.timer(PROBE_POLL_TIME)
            self._loop.start(self._poll_timer, PollingTransport._answer_poll, self)

    def request_lost(self, request: Exchange) -> None:
        """The connection of a waiting GET, or of a POST, is gone; or that of the last GET before
        all of its answer was read: the session can't go on with messages missing.
        """
        if request is self._poll:
            self._end_poll()
        elif self._answer is not None and request is self._answer():
            self._report(CloseReason.TRANSPORT_ERROR)
        elif request is self._arriving:
            self._end_arriving()

    def answer_at_once(self) -> Response:
        """Return an answer with the queued messages; with a noop packet if there are none."""
        packets: list[bytes] = []
        queue, before = self._queue, self._queued_bytes
        room = self._options.max_payload
        while queue:
            outgoing = queue[0]
            following = self._packets_of(outgoing)
            if len(queue) > 1 or packets:
                room -= sum(map(len, following)) + len(following)
            if packets and (
                room < 0
                or len(packets) + len(following) > self.packets_per_answer
                # The JavaScript client acts on it before it hands out the packets before it.
                or outgoing is CLOSE
            ):
                break
            packets += following
            queue.popleft()
            self._queued_bytes -= len(outgoing.frames)
            if self._backlog is not None:
                self._backlog.discard(outgoing.frames)
        if not queue:
            self._end_backlog()
        elif self._backlog is not None:
            self._backlog.taken(before - self._queued_bytes)
        if self._tells_of_room and not self._is_above_high_water:
            self._tells_of_room = False
            if self._session is not None:
                self._session.room_made(self)
        return Response(200, self._encode_payload(packets or [engineio.NOOP]))

    # --- Holder -------------------------------------------------------------------------------

    @property
    def is_excused(self) -> bool:
        """Whether the queued messages may wait (``Holder``).

        They may while a GET waits for its turn, while the client reads an answer, and when it is
        about to stop polling. As many bytes as the kernel holds for a WebSocket may wait until a
        heartbeat is missed, unless the client's handlers wait for room.
        """
        is_light = self._queue_cost <= self._options.send_buffer and not self._tells_of_room
        return is_light or self._poll is not None or self._probing or self.is_answering

    def try_again(self) -> None:
        """Do nothing: the client sends a GET when it wants more (``Holder``)."""

    def give_up(self, because: LostBecause) -> None:
        """Close the session of a client that fetches too little (``Holder``).

        Messages are dropped from now on, and not only after the close in the next turn of the loop,
        because a handler may send a lot until then.
        """
        self.discard_queue()
        if self._session is not None and not self.given_up:
            self.given_up = True
            if because in SLOW:
                self._session.client_refused(SLOW[because], because.value)
            self._loop.run_callback(PollingTransport._report, self, CloseReason.TRANSPORT_ERROR)

    def callback_raised(self) -> None:
        """End the session, and the connections of the requests that wait (``CallbackOwner``)."""
        waiting = self._poll, self._forget_post()
        self._end_poll()
        try:
            self.discard_queue()
            for exchange in waiting:
                if exchange is not None:
                    exchange.abort()
        finally:
            self._report(CloseReason.TRANSPORT_ERROR)

    def _begin_backlog(self) -> None:
        """Begin to count the queued messages.

        Heartbeats are not counted: each is one object for all clients, some of which always have it
        queued (``QueuedOutput``).
        """
        backlog = self._backlog = Backlog(self, self._output)
        for outgoing in tuple(self._queue):
            if outgoing not in HEARTBEATS and not backlog.closed:
                backlog.add(outgoing.frames)

    def _end_backlog(self) -> None:
        if self._backlog is not None:
            self._backlog.close(deque(outgoing.frames for outgoing in self._queue))
            self._backlog = None

    # ------------------------------------------------------------------------------------------

    _encode_payload: ClassVar = staticmethod(engineio.encode_payload)

    def _packets_of(self, outgoing: Outgoing) -> list[bytes]:
        return outgoing.packets

    def _answer_soon(self) -> None:
        """Answer the waiting GET at the end of this turn of the loop: more messages may follow."""
        if self._poll is not None and not self._answers_soon:
            self._answers_soon = True
            self._loop.run_callback(PollingTransport._answer_poll, self)

    def _answer_poll(self) -> None:
        """Answer the waiting GET with the messages that are queued by now; many bytes get a turn of
        their own, because they may have to be compressed.
        """
        if self._queued_bytes > LARGE:
            self._turns.add(PollingTransport._answer_now, self, is_large=True)
        else:
            self._answer_now()

    def _answer_now(self) -> None:
        self._answers_soon = False
        if self._poll is not None:
            self._reply(self._poll)
            self._end_poll()  # not before: callback_raised aborts it

    def _reply(self, poll: Exchange) -> None:
        """Answer a GET, unless its client has gone: then the next GET gets the messages."""
        if not poll.has_ended():
            poll.reply(self.answer_at_once())
            self._answer = ref(poll) if poll.is_underway() else None

    def _refuse_get(self, poll: Exchange, why: str) -> None:
        """Refuse a GET that breaks the protocol, and end the session."""
        self._fail(why)
        poll.reply(BAD_REQUEST)

    def _end_poll(self) -> None:
        self._poll = None
        if self._poll_timer is not None:
            self._poll_timer.close()
            self._poll_timer = None

    def _fail(self, why: str) -> None:
        if self._session is not None:
            self._session.client_refused(RefusalKind.PACKET, why)
        self.close(CloseReason.PARSE_ERROR)

    def _report(self, reason: CloseReason) -> None:
        self._drop_bodies()
        session, self._session = self._session, None
        self._answer_soon()
        self._end_post_soon()
        if session is not None:
            session.transport_closed(self, reason)
