"""Random input on every layer: nobody else notices, and no session is ever open and deaf."""

import json
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from tests.faults.crowd import (
    WEBSOCKET,
    exchange,
    handshake_bytes,
    host_of,
    join,
    join_over_polling,
    statuses,
)
from tests.faults.noise import NOTORIOUS, Noise
from tests.faults.watch import Watch
from tests.support.http import Refused
from tests.support.server import Server
from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Closed,
    WebSocket,
    frame,
    handshake_headers,
)
from tests.support.wire import SEPARATOR, Polling, target

pytestmark = pytest.mark.timeout(180)

CLOSE_CODES = {None, 1000, 1002, 1003, 1007, 1008, 1009}
"""What a server may close with for what its client did; ``None``: no close frame, or none in it."""

ECHOED_CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
"""What it may close with as well where its client closed with that."""

IN_ONE_GO = 50
"""Inputs that are sent before the first answer is read."""

FIRST_ID = 10**12
"""Ids of our own acknowledgements are above it, those of the inputs below."""


class TestHttp:
    """Requests that are damaged, and bytes that are none."""

    def test_nothing_but_a_request_is_answered_as_one(
        self, server: Server, watch: Watch, noise: Noise
    ) -> None:
        count = noise.count(6000)
        met: Counter[int] = Counter()
        with watch(server, "fuzzing", "HTTP requests", inputs=count):
            for start in range(0, count, 100):
                session = join_over_polling(server)
                valid = requests(server, session)
                inputs = [
                    noise.some_bytes(200)
                    if noise.chance(0.05)
                    else noise.damage(noise.choice(valid), others=valid)
                    for _ in range(min(100, count - start))
                ]
                answers = exchange(server.address, inputs)
                for number, (data, answer) in enumerate(zip(inputs, answers, strict=True), start):
                    with noise.telling(number, data):
                        met.update(check_responses(answer))
                session.close()
        assert met[200] > count / 50, met
        assert met[400] > count / 10, met


def requests(server: Server, session: Polling) -> list[bytes]:
    """Return valid requests of every kind."""
    host = f"Host: {host_of(server)}\r\n"
    packets = '42["echo",1]\x1e421["message",{"a":["é"]}]'
    body = f"Content-Type: text/plain\r\nContent-Length: {len(packets.encode())}\r\n\r\n{packets}"
    chunks = 'Transfer-Encoding: chunked\r\n\r\n3\r\n42[\r\n9;x=y\r\n"echo",1]\r\n0\r\n\r\n'
    upgrade = "".join(f"{name}: {value}\r\n" for name, value in handshake_headers().items())
    heads = [
        f"GET {target('polling')} HTTP/1.1\r\n{host}\r\n",
        f"GET {session.target} HTTP/1.1\r\n{host}Accept-Encoding: gzip\r\n\r\n",
        f"POST {session.target} HTTP/1.1\r\n{host}{body}",
        f"POST {session.target} HTTP/1.1\r\n{host}{chunks}",
        f"POST /body/ HTTP/1.1\r\n{host}{chunks}",
        f"POST /body/?a=b HTTP/1.1\r\n{host}{body}",
        f"GET {WEBSOCKET} HTTP/1.1\r\n{host}{upgrade}\r\n",
        f"GET {session.target.replace('polling', 'websocket')} HTTP/1.1\r\n{host}{upgrade}\r\n",
        f"OPTIONS {session.target} HTTP/1.1\r\n{host}Origin: http://{host_of(server)}\r\n\r\n",
        f"HEAD /stats/ HTTP/1.1\r\n{host}Cookie: a=b; socketio=c\r\nConnection: close\r\n\r\n",
        f"GET /stats/ HTTP/1.0\r\n{host}Connection: keep-alive\r\n\r\n",
    ]
    whole = [head.encode() for head in heads]
    return [*whole, whole[3] + whole[5], whole[9]]


def check_responses(answer: bytes) -> list[int]:
    """Check that a server's answer is HTTP, and blames nobody but the client; return statuses."""
    found = statuses(answer)
    assert not answer or answer.startswith(b"HTTP/1.1 "), answer
    assert not {status for status in found if status >= 500 and status != 501}, answer
    return found


class TestFrames:
    """WebSocket frames that are damaged."""

    def test_end_the_connection_or_change_nothing(
        self, server: Server, watch: Watch, noise: Noise
    ) -> None:
        count = noise.count(3000)
        met: Counter[int | None] = Counter()
        with watch(server, "fuzzing", "WebSocket frames", inputs=count):
            inputs = [damaged_frames(noise) for _ in range(count)]
            hello = handshake_bytes(server) + frame(TEXT, "40")
            answers = exchange(server.address, [hello + data for data in inputs])
            for number, (data, answer) in enumerate(zip(inputs, answers, strict=True)):
                with noise.telling(number, data):
                    met[close_code(answer)] += 1
        assert met.keys() <= CLOSE_CODES | ECHOED_CODES, met
        assert min(met[None], met[1002], met[1007]) > count / 100, met


def damaged_frames(noise: Noise) -> bytes:
    """Return the frames of a few messages, some of which are not right."""
    frames = [valid_message(noise) for _ in range(noise.random.randint(1, 4))]
    data = b"".join(frames)
    return data if noise.chance(0.1) else noise.damage(data, others=frames)


def valid_message(noise: Noise) -> bytes:
    """Return a message, perhaps in fragments with something between them, or a control frame."""
    kind = noise.random.randrange(6)
    text = f'42["echo",{json.dumps(noise.text(40), ensure_ascii=False)}]'
    if kind == 0:
        return frame(noise.choice((PING, PONG)), noise.some_bytes(125))
    if kind == 1:
        return frame(CLOSE, struct.pack("!H", noise.choice((1000, 1001, 3000, 4999))) + b"bye")
    if kind == 2:
        return frame(TEXT, text + " " * noise.choice((0, 126 - len(text), 200, 70_000)))
    if kind == 3:
        return frame(TEXT, '451-["echo",{"_placeholder":true,"num":0}]') + frame(
            BINARY, noise.some_bytes(200)
        )
    data = text.encode()
    cut = noise.random.randint(0, len(data))
    return (
        frame(TEXT, data[:cut], fin=False)
        + (frame(PING, b"?") if noise.chance(0.5) else b"")
        + frame(CONTINUATION, data[cut:])
    )


def close_code(answer: bytes) -> int | None:
    """Check that a server's answer is a handshake and whole frames; return its close code."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), answer
    while rest:
        first, length = rest[0], rest[1]
        assert first in (0x81, 0x82, 0x88, 0x8A), answer
        start = {126: 4, 127: 10}.get(length, 2)
        size = int.from_bytes(rest[2:start]) if length > 125 else length
        data, rest = rest[start : start + size], rest[start + size :]
        assert len(data) == size, answer
        if first == 0x88:
            assert not rest, answer
            return int.from_bytes(data[:2]) if data else None
    return None


HARMLESS_PACKETS = ["3", "3probe", "6", '42["echo",1]', '421["message","x"]', "430[]"]
ENGINE_IO_PACKETS = [*HARMLESS_PACKETS, "1", "2", "2probe", "5", "4", "40", "41", "b4AQID", "0"]

SOCKET_IO_PACKETS = [
    "0",
    '0{"token":"x"}',
    "0/other,",
    "1",
    "1/other,",
    '2["echo",1,"two",{"three":[3]}]',
    '212["message","x"]',
    '2/,7["echo"]',
    '2/other,8["echo",null]',
    '2["__subscribe__","room-1"]',
    '21["__unsubscribe__","room-1"]',
    "31[]",
    '3/other,2["x"]',
    '4{"message":"no"}',
    '51-["echo",{"_placeholder":true,"num":0}]',
    '52-3["message",[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]]',
    '61-4[{"_placeholder":true,"num":0}]',
    '50-["echo"]',
    '2["connect"]',
]


class TestPackets:
    """Engine.IO and Socket.IO packets in frames that are right."""

    def test_of_engine_io_end_the_session_or_change_nothing(
        self, server: Server, watch: Watch, noise: Noise
    ) -> None:
        valid = [packet.encode() for packet in ENGINE_IO_PACKETS]

        def make() -> bytes:
            if noise.chance(0.6):
                return frame(TEXT, noise.choice(HARMLESS_PACKETS))
            packet = noise.choice(valid)
            if noise.chance(0.7):
                packet = noise.damage(packet, others=valid)
            return frame(BINARY if noise.chance(0.05) else TEXT, packet)

        feed_all(server, watch, noise, "Engine.IO packets", noise.count(6000), make)

    def test_of_socket_io_end_the_session_or_change_nothing(
        self, server: Server, watch: Watch, noise: Noise
    ) -> None:
        valid = [packet.encode() for packet in SOCKET_IO_PACKETS]

        def make() -> bytes:
            if noise.chance(0.6):
                return frame(TEXT, f'42["{noise.choice(("echo", "message", "x"))}",1]')
            packet = noise.damage(noise.choice(valid), others=valid)
            text = packet.decode(errors="replace")
            attachments = [noise.some_bytes() for _ in range(noise.choice((0, 0, 1, 2)))]
            with_attachments = text[:1] in ("5", "6") and noise.chance(0.8)
            return frame(TEXT, f"4{text}") + b"".join(
                frame(BINARY, data) for data in attachments if with_attachments
            )

        feed_all(server, watch, noise, "Socket.IO packets", noise.count(6000), make)

    def test_in_payloads_end_the_session_or_change_nothing(
        self, server: Server, watch: Watch, noise: Noise
    ) -> None:
        count = noise.count(2000)
        packets = [*ENGINE_IO_PACKETS, *(f"4{packet}" for packet in SOCKET_IO_PACKETS)]
        valid = [packet.encode() for packet in packets]
        harmless = [packet.encode() for packet in HARMLESS_PACKETS]
        met: Counter[str] = Counter()
        with watch(server, "fuzzing", "polling payloads", inputs=count):
            session: Polling | None = None
            for number in range(count):
                data = SEPARATOR.encode().join(noise.random.choices(harmless, k=3))
                if noise.chance(0.5):
                    data = noise.damage(noise.choice((data, noise.choice(valid))), others=valid)
                with noise.telling(number, data):
                    session = session or join_over_polling(server)
                    if post_and_ask(session, data, number):
                        met["answered"] += 1
                    else:
                        met["closed"] += 1
                        session.close()
                        session = None
            if session is not None:
                session.close()
        assert min(met.values()) > count / 20, met


def post_and_ask(session: Polling, data: bytes, number: int) -> bool:
    """Send a payload, and ask something; return whether the session goes on.

    It must answer, or be over: never open and deaf.
    """
    response = session.post(data)
    assert response.status in (200, 400), response
    if response.status == 400:
        assert response.json["code"] == 3
    try:
        session.send(f'42{FIRST_ID + number}["echo"]')
        while f"43{FIRST_ID + number}[]" not in (packets := session.receive()):
            if "1" in packets:
                return False
    except (ConnectionError, Refused):
        return False
    assert response.status == 200, "it answers, although it refused something"
    return True


class TestJson:
    """JSON that is right comes back as it was, and what is wrong ends the session."""

    def test_that_is_right_comes_back_as_it_was(
        self, server: Server, watch: Watch, noise: Noise
    ) -> None:
        count = noise.count(8000)
        with watch(server, "fuzzing", "JSON, right", inputs=count):
            websocket = join(server)
            for start in range(0, count, IN_ONE_GO):
                values = [noise.value() for _ in range(min(IN_ONE_GO, count - start))]
                texts = [json.dumps(v, ensure_ascii=noise.chance(0.5)) for v in values]
                websocket.send(
                    b"".join(
                        frame(TEXT, f'42{number}["echo",{text}]')
                        for number, text in enumerate(texts, start)
                    )
                )
                for number, value in enumerate(values, start):
                    with noise.telling(number, value):
                        answer = websocket.receive_text()
                        assert json.loads(answer.removeprefix(f"43{number}")) == [value]
            websocket.close()

    def test_that_is_damaged_ends_the_session_or_is_still_right(
        self, server: Server, watch: Watch, noise: Noise
    ) -> None:
        def make() -> bytes:
            text = json.dumps(["echo", noise.value()], ensure_ascii=noise.chance(0.5))
            if noise.chance(0.5):
                return frame(TEXT, f"42{text}")
            damaged = noise.damage(text.encode(), others=NOTORIOUS).decode(errors="replace")
            return frame(TEXT, f"42{damaged}")

        feed_all(server, watch, noise, "JSON, damaged", noise.count(4000), make)


def feed_all(
    server: Server,
    watch: Watch,
    noise: Noise,
    what: str,
    count: int,
    make: Callable[[], bytes],
) -> None:
    """Feed a server; check that some inputs ended their session, and some did not."""
    inputs = [make() for _ in range(count)]
    met: Counter[str] = Counter()
    with watch(server, "fuzzing", what, inputs=count):
        at = 0
        while at < count:
            websocket = join(server)
            try:
                while at < count:
                    group = inputs[at : at + IN_ONE_GO]
                    answered, code = feed(websocket, group, noise, at)
                    met["answered"] += answered
                    at += answered
                    if answered < len(group):
                        met[f"closed with {code}"] += 1
                        at += 1  # behind the one that ended it
                        break
            finally:
                websocket.close()
    assert min(met["answered"], met["closed with 1007"]) > count / 20, met


def feed(
    websocket: WebSocket, inputs: Sequence[bytes], noise: Noise, first: int
) -> tuple[int, int | None]:
    """Send inputs, and a question behind each.

    :return: how many questions were answered, and what the session ended with behind that.
    """
    questions = [
        frame(TEXT, f'42{FIRST_ID + number}["echo",{number}]') for number in range(len(inputs))
    ]
    with suppress(OSError):  # it is closed already
        websocket.send(b"".join(a + b for a, b in zip(inputs, questions, strict=True)))
    answered = 0
    while answered < len(inputs):
        with noise.telling(first + answered, inputs[answered]):
            try:
                received = websocket.receive()
            except Closed as closed:
                if closed.code not in CLOSE_CODES:
                    raise
                return answered, closed.code
            text = received.data.decode()
            if text.startswith(f"43{FIRST_ID}"[:-2]):
                assert text == f"43{FIRST_ID + answered}[{answered}]"
                answered += 1
    return answered, None
