"""The POSTs of a client that polls: each body is charged, taken apart and handed up.

One POST at a time is under way. It is answered once the session has all its packets, which takes
turns with other clients, and pauses where the session or the client's rate asks for it; or once the
session has ended, which drops the rest. No method here waits.
"""

from collections.abc import Callable

from socketio_server.engine.transports.base import TOO_FAST, TransportHandler
from socketio_server.engine.transports.exchange import BAD_REQUEST, Exchange
from socketio_server.exceptions import DecodeError
from socketio_server.net.loop import Loop, Watcher
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.token_bucket import TokenBucket
from socketio_server.net.turns import LARGE, Turns
from socketio_server.options import Options
from socketio_server.protocol import engineio
from socketio_server.protocol.engineio import PacketType, Payload
from socketio_server.protocol.http1.responses import Response

AT_ONCE = 4096
"""Bytes of a POST that is taken apart at once; larger ones wait for their turn."""

_MESSAGE = PacketType.MESSAGE

_OK = Response(200, b"ok", "text/html")  # as the reference server answers a POST


class PostReceiver:
    """Receives the packets of one session; the polling transport derives from it.

    :param session: gets the packets.
    :param clock: a monotonic clock, in seconds.
    :param turns: the turns of POSTs that take long.
    """

    __slots__ = (
        "_arriving",
        "_charged",
        "_clock",
        "_incoming",
        "_is_due",
        "_is_handing_up",
        "_large",
        "_loop",
        "_on_quiet",
        "_options",
        "_paused",
        "_post",
        "_rate",
        "_session",
        "_timer",
        "_turns",
    )

    def __init__(
        self,
        session: TransportHandler,
        loop: Loop,
        options: Options,
        clock: Callable[[], float],
        turns: Turns,
    ) -> None:
        self._session: TransportHandler | None = session  # None once closed or handed over
        self._loop = loop
        self._options = options
        self._clock = clock
        self._rate = TokenBucket(options.max_packet_rate, options.max_packet_burst, clock())
        self._arriving: Exchange | None = None  # the POST whose body has arrived in part
        self._post: Exchange | None = None  # the POST whose packets are handed up
        # Its body and content type, if it is large, until it is taken apart.
        self._large: tuple[bytes, str] | None = None
        self._incoming: Payload | None = None  # its packets that are yet to be handed up
        self._is_handing_up = False  # a packet is being handed up just now
        self._paused = False  # the session wants no more packets for now
        self._turns = turns
        self._charged = 0  # bytes of the POST that are charged to the client
        self._is_due = False  # the POST waits for its turn
        self._timer: Watcher | None = None  # goes on with the POST of a client that is throttled
        self._on_quiet: Callable[[], None] | None = None  # to be called when no POST is under way

    def pause_reading(self) -> None:
        """Hand up no more packets of the POST that is under way, and delay its answer."""
        self._paused = True

    def resume_reading(self) -> None:
        """Go on with the waiting POST."""
        if self._paused:
            self._paused = False
            self._go_on_soon()

    def when_quiet(self, callback: Callable[[], None]) -> None:
        """Call back once no POST is under way: now, or after all its packets were handed up."""
        if self._post is not None:
            self._on_quiet = callback
        else:
            callback()

    @property
    def is_receiving(self) -> bool:
        """Whether a POST has arrived in part (``Transport``)."""
        return self._arriving is not None

    def post_arrives(self, post: Exchange, size: int) -> None:
        """Charge the client for a body that has arrived in part, or refuse the POST.

        :param size: bytes of the body so far.
        """
        if self._session is None:
            post.drop_body()
        elif post is self._arriving or not self._refuse_second_post(post):
            self._arriving = post
            self._charge(size)

    def answer_post(self, body: bytes, content_type: str, post: Exchange) -> None:
        """Hand up the packets of a payload, as fast as the session accepts them; answer then.

        :param content_type: the request's ``Content-Type``.
        """
        if self._session is None:
            post.reply(BAD_REQUEST)
            return
        if post is self._arriving:
            self._arriving = None
        elif (self._post or self._arriving) is not None and self._refuse_second_post(post):
            return
        self._post = post
        if len(body) <= AT_ONCE:
            if self._charged:
                self._charge(0)
            self._take_apart(body, content_type)
        else:
            self._is_due = True
            self._large = body, content_type
            self._charge(len(body))
            self._turns.add(PostReceiver._take_large, self, is_large=len(body) > LARGE)

    def _refuse_second_post(self, post: Exchange) -> bool:
        """Refuse a POST, and end the session, if another one is under way; return whether it is.

        The other does not count if its client has given it up, and the loop did not report it yet.
        """
        if self._arriving is not None and self._arriving.has_ended():
            self._end_arriving()
        if self._post is None and self._arriving is None:
            return False
        self._fail("second POST while one is pending")
        post.reply(BAD_REQUEST)
        return True

    def _end_arriving(self) -> None:
        """Drop the body that has arrived in part."""
        post, self._arriving = self._arriving, None
        if post is not None:
            post.drop_body()
            self._charge(0)

    def _take_large(self) -> None:
        """Hand up the packets of a large payload, unless the session ended before its turn."""
        self._is_due = False
        large, self._large = self._large, None
        if large is not None:
            self._take_apart(*large)

    def _take_apart(self, body: bytes, content_type: str) -> None:
        """Hand up the packets of a payload."""
        try:
            self._incoming = self._decode_payload(body, content_type)
        except DecodeError as error:
            self._fail_post(str(error))
            return
        if self._charged:
            self._charge(self._incoming.size)
        if not self._paused:
            self._take_packets()

    def _take_packets(self) -> None:
        """Hand up packets of the POST, in turns: a chatty client must not stop the others."""
        while (incoming := self._incoming) is not None and (session := self._session) is not None:
            if not self._hand_up(session, incoming):
                return
            if self._paused:
                return
            if not self._rate.spend() and (wait := self._rate.wait(self._clock())):
                session.client_refused(RefusalKind.RATE, TOO_FAST)
                self._timer = self._loop.timer(wait)
                self._loop.start(self._timer, PostReceiver._go_on, self)
                return
            if self._incoming is not None and self._turns.until() < self._clock():
                self._go_on_soon()
                return
        self._end_post(_OK)

    def _hand_up(self, session: TransportHandler, incoming: Payload) -> bool:
        """Give the session the next packet; return ``False`` if it is malformed."""
        self._is_handing_up = True
        try:
            packet = incoming.take()
            if incoming.is_over:
                self._incoming = None
                if self._charged:  # the session counts the packet from here on
                    self._charge(0)
            if packet.type is _MESSAGE:
                session.message_received(self, packet.data)  # type: ignore[arg-type]  # a transport
            else:
                session.packet_received(self, packet)  # type: ignore[arg-type]
        except DecodeError as error:
            self._incoming = None
            # At the end of this turn of the loop: the packets before it may still be answered.
            self._loop.run_callback(PostReceiver._fail_post, self, str(error))
            return False
        finally:
            self._is_handing_up = False
        return True

    def _fail_post(self, why: str) -> None:
        """Refuse the POST, and end the session.

        Only a GET that waits gets the answers to the packets before: a session that a client's
        fault has ended is unknown afterwards, as in the reference server.
        """
        self._fail(why)
        self._end_post(BAD_REQUEST)

    def _charge(self, size: int) -> None:
        """Charge the client for a POST, from its first bytes until its last packet is handed up."""
        change, self._charged = size - self._charged, size
        if change and self._session is not None:
            self._session.charge_session(change)

    def _end_post(self, response: Response) -> None:
        """Answer the POST, and drop its remaining packets."""
        if self._charged:
            self._charge(0)
        self._incoming = None
        on_quiet, self._on_quiet = self._on_quiet, None
        if on_quiet is not None:
            on_quiet()
        if self._post is not None:
            self._post.reply(response)
            self._post = None  # not before: callback_raised aborts it

    def _go_on_soon(self) -> None:
        """Go on with the POST, if there is one, after the loop has served other clients."""
        if self._post is not None and not self._is_handing_up and not self._is_due:
            self._is_due = True
            self._turns.add(PostReceiver._go_on, self)

    def _go_on(self) -> None:
        self._is_due = False
        self._stop_timer()
        if not self._paused:
            self._take_packets()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _drop_bodies(self) -> None:
        """Drop what has arrived and is not taken apart, because the session ends."""
        self._end_arriving()
        self._large = None
        self._charge(0)

    def _end_post_soon(self) -> None:
        """Answer the POST, because the session has ended and takes no more packets."""
        self._paused = False
        if self._post is not None and not self._is_handing_up:
            self._loop.run_callback(PostReceiver._go_on, self)

    def _forget_post(self) -> Exchange | None:
        """Drop the POST that is under way, and return it."""
        self._stop_timer()
        post, self._post = self._post, None
        self._on_quiet = self._incoming = None
        return post

    def _decode_payload(self, body: bytes, content_type: str) -> Payload:
        return engineio.decode_payload(body, self._options.max_packets_per_payload)

    def _fail(self, why: str) -> None:
        """Refuse what the client sent, and close the session."""
        raise NotImplementedError

    def callback_raised(self) -> None:
        """End the session (``CallbackOwner``)."""
        raise NotImplementedError
