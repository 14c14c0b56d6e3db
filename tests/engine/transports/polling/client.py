"""A polling transport and requests to it.

Nothing waits but in the loop, which a test moves: a request is an ``Exchange`` that records its
answer.
"""

from socketio_server.options import Options
from tests.fakes.engine import FakeExchange, RecordingTransportHandler, make_polling, outgoing
from tests.fakes.loop import FakeLoop
from tests.fakes.net import queued_output


class Client:
    """A polling transport, the session above it, and requests to it."""

    def __init__(self, options: Options | None = None, *, seconds_per_look: float = 0.0) -> None:
        options = options or Options()
        self.loop = FakeLoop()
        self.loop.seconds_per_look = seconds_per_look
        self.session = RecordingTransportHandler()
        self.output = queued_output(self.loop, options)
        self.transport = make_polling(self.session, self.loop, options, self.output)

    def get(self) -> FakeExchange:
        """Begin a GET, and let the loop run until it waits or has its answer."""
        poll = FakeExchange()
        self.transport.answer_get(poll)
        self.loop.run()
        return poll

    def post(self, body: bytes) -> FakeExchange:
        """Begin a POST, and let the loop run until it waits or has its answer."""
        post = FakeExchange()
        self.transport.answer_post(body, "text/plain;charset=UTF-8", post)
        self.loop.run()
        return post

    def begin_post(self, size: int) -> FakeExchange:
        """Begin a POST of which so many bytes arrive, and no more."""
        post = FakeExchange()
        self.transport.post_arrives(post, size)
        return post

    def post_messages(self, count: int) -> FakeExchange:
        """Begin a POST of so many messages: "0", "1" and so on."""
        return self.post(b"\x1e".join(b"4%d" % i for i in range(count)))

    def fetch(self) -> list[str]:
        """Return what a GET gets, which must not have to wait."""
        return self.get().packets

    def answer_everything(self) -> None:
        """Have the session send an answer to each packet."""
        self.session.on_packet = lambda packet: self.transport.send(outgoing("answer"))
