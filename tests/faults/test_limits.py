"""Messages, bodies and heads that are too large, or never end."""

import json
import struct
import sys
from contextlib import suppress
from time import monotonic

import pytest

from tests.faults.crowd import (
    OFFER,
    Wire,
    ask,
    close_code,
    crowd,
    deflate,
    join,
    join_over_polling,
    send_all,
    statuses,
)
from tests.faults.watch import MIB, MOST, Trial, Watch, look, waiting_bytes
from tests.support.http import Http
from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    frame,
    frame_head,
)
from tests.support.wire import target

MAX_PAYLOAD = 1_000_000
MAX_FRAGMENTS = 1024

READS_COOKIES_SLOWLY = sys.version_info < (3, 11, 10) or (3, 12) <= sys.version_info < (3, 12, 6)

REFUSED = "request body refused with status 400"
"""What the log tells of a malformed body of a session."""

ENDLESS = 8.0
"""Seconds after which an attacker that was not stopped gives up."""


def send_for_ever(http: Http, piece: bytes, trial: Trial) -> bytes:
    """Send the same bytes again and again, until the server closes; return what it said.

    :raises AssertionError: if it lets us.
    """
    deadline = monotonic() + ENDLESS
    http.sock.settimeout(ENDLESS)
    with suppress(ConnectionError, TimeoutError):
        while not http.has_response():
            http.send(piece)
            trial.inputs += 1
            assert monotonic() < deadline, f"it takes {len(piece)} bytes again and again"
    answer = b""
    http.sock.settimeout(ENDLESS)
    with suppress(ConnectionError):
        while data := http.sock.recv(65_536):
            answer += data
    return answer


class TestMessages:
    def test_that_are_too_large_are_refused_before_they_come(
        self, server: Server, watch: Watch
    ) -> None:
        sizes = (MAX_PAYLOAD + 1, 2**31, 2**32, 2**62, 2**63 - 1)
        with watch(server, "oversize", "frames that announce too much", inputs=len(sizes) * 3):
            for size in sizes:
                for start in (b"", frame(TEXT, "42[", fin=False)):
                    websocket = join(server)
                    opcode = CONTINUATION if start else TEXT
                    websocket.send(start + frame_head(0x80 | opcode, size))
                    websocket.send(bytes(4))  # the mask, and nothing more
                    assert close_code(websocket) == 1009
                websocket = join(server)
                websocket.send(frame_head(0x80 | BINARY, size) + bytes(4))
                assert close_code(websocket) == 1009

    def test_of_endless_fragments_are_refused(self, server: Server, watch: Watch) -> None:
        with watch(server, "oversize", "endless fragments") as trial:
            for piece in (b"", b"x", b"x" * 100_000):
                websocket = join(server)
                fragment = frame(CONTINUATION, piece, fin=False)
                with suppress(OSError):
                    websocket.send(frame(TEXT, "42", fin=False))
                    for _ in range(MAX_FRAGMENTS + 10):
                        websocket.send(fragment)
                        trial.inputs += 1
                assert close_code(websocket) == 1009

    def test_as_large_as_allowed_are_taken(self, server: Server, watch: Watch) -> None:
        with watch(server, "oversize", "messages of the very limit", inputs=3):
            websocket = join(server)
            text = '421["echo","' + "x" * (MAX_PAYLOAD - 14) + '"]'
            assert len(text) == MAX_PAYLOAD
            for fragments in (1, 2, MAX_FRAGMENTS):
                size = -(-len(text) // fragments)
                parts = [text[i : i + size] for i in range(0, len(text), size)]
                for number, part in enumerate(parts):
                    opcode = CONTINUATION if number else TEXT
                    websocket.send(frame(opcode, part, fin=number == len(parts) - 1))
                assert websocket.receive_text() == f"431[{text[11:-1]}]"
            websocket.close()


BROKEN = {
    "no mask": (frame(TEXT, "6", masked=False), 1002),
    "the second reserved bit": (frame(TEXT, "6", reserved=2), 1002),
    "the third reserved bit": (frame(TEXT, "6", reserved=1), 1002),
    "a compressed ping": (frame(PING, b"", reserved=4), 1002),
    "a compressed continuation": (
        frame(TEXT, "4", fin=False) + frame(CONTINUATION, b"", reserved=4),
        1002,
    ),
    **{f"opcode {opcode}": (frame(opcode), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a ping in fragments": (frame(PING, fin=False), 1002),
    "a long ping": (frame(PING, bytes(126)), 1002),
    "a length that could be shorter": (b"\x81\xfe\x00\x01" + bytes(5), 1002),
    "a length of 64 bits that could be shorter": (b"\x81\xff" + bytes(7) + b"\x01", 1002),
    "a negative length": (b"\x81\xff" + b"\xff" * 8, 1002),
    "a continuation of nothing": (frame(CONTINUATION, b"6"), 1002),
    "a message in a message": (frame(TEXT, "6", fin=False) + frame(TEXT, "6"), 1002),
    "half a close code": (frame(CLOSE, b"\x03"), 1002),
    "a close code that is none": (frame(CLOSE, b"\x03\xed"), 1002),
    "a reason that is no text": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "bytes that are no text": (frame(TEXT, b"\xff"), 1007),
    "a fragment that is no text": (frame(TEXT, b"4\xff", fin=False), 1007),
}
"""Frames that break the protocol, and what the server closes with."""


class TestBrokenFrames:
    def test_close_the_connection(self, wire: Wire, watch: Watch) -> None:
        server, _, headers = wire
        name = f"broken frames{', deflated' if headers else ''}"
        with watch(server, "oversize", name, inputs=len(BROKEN)):
            found = {}
            for what, (data, _) in BROKEN.items():
                websocket = join(server, headers=headers)
                websocket.send(data + frame(TEXT, '42["message"]'))
                found[what] = close_code(websocket)
            assert found == {what: code for what, (_, code) in BROKEN.items()}


class TestBombs:
    """Small things that become large."""

    def test_are_inflated_no_further_than_allowed(self, deflating: Server, watch: Watch) -> None:
        bombs = [deflate(b"x" * size) for size in (MAX_PAYLOAD + 1, 100 * MAX_PAYLOAD)]
        with watch(deflating, "oversize", "zip bombs", inputs=len(bombs) * 2 * 20):
            for bomb in bombs * 20:
                websocket = join(deflating, headers=OFFER)
                websocket.send(frame(TEXT, bomb, reserved=4))
                assert close_code(websocket) == 1009
                websocket = join(deflating, headers=OFFER)
                with suppress(OSError):
                    websocket.send(frame(TEXT, bomb[:-20], fin=False, reserved=4))
                    websocket.send(frame(CONTINUATION, bomb[-20:]))
                assert close_code(websocket) == 1009

    def test_of_json_are_too_deep(self, server: Server, watch: Watch) -> None:
        deep = ["[" * n + "]" * n for n in (101, 10_000, 400_000)]
        deep += ['{"a":' * n + "1" + "}" * n for n in (101, 100_000)]
        deep += ["[" * 900_000, '[{"a":' * 100_000]
        with watch(server, "oversize", "deep JSON", inputs=len(deep)):
            for text in deep:
                websocket = join(server)
                websocket.send_text(f'421["echo",{text}]')
                assert close_code(websocket) == 1007

    def test_of_json_are_wide_or_long(self, server: Server, watch: Watch) -> None:
        wide = [
            "[" + "0," * 400_000 + "0]",
            "[" + "[]," * 300_000 + "[]]",
            "{" + ",".join(f'"{n}":0' for n in range(90_000)) + "}",
            "1" + "0" * 400 + ".5e-" + "9" * 100,
            '"' + "\\u0000" * 150_000 + '"',
            '"' + "\\ud800" * 150_000 + '"',
            " " * 900_000 + "0",
        ]
        with watch(server, "oversize", "wide JSON", inputs=len(wide), most=MOST):
            for text in wide:
                websocket = join(server)
                websocket.send_text(f'421["echo",{text}]')
                assert websocket.receive_text().startswith("431[")
                websocket.cut()

    def test_of_json_are_too_large_a_number(self, server: Server, watch: Watch) -> None:
        with watch(server, "oversize", "large numbers", inputs=20, most=MOST):
            for _ in range(20):
                websocket = join(server)
                websocket.send_text(f'421["echo",{"9" * 900_000}]')
                assert close_code(websocket) == 1007


class TestBodies:
    def test_that_announce_too_much_are_refused_at_once(self, server: Server, watch: Watch) -> None:
        sizes = (MAX_PAYLOAD + 1, 2**31, 10**17)
        with watch(server, "oversize", "bodies that announce too much", inputs=len(sizes)):
            for size in sizes:
                session = join_over_polling(server)
                with Http(server.address) as http:
                    http.send_request("POST", session.target, headers={"Content-Length": str(size)})
                    assert http.read_response().status == 413
                session.cut()

    def test_in_endless_chunks_are_refused(self, server: Server, watch: Watch) -> None:
        with watch(server, "oversize", "bodies in endless chunks") as trial:
            session = join_over_polling(server)
            with chunked(server, session.target) as http:
                answer = send_for_ever(http, b"4000\r\n" + b"x" * 0x4000 + b"\r\n", trial)
            assert statuses(answer) in ([413], [])  # lost where the reset was faster
            session.cut()

    @pytest.mark.parametrize("what", ["a session", "a view"])
    @pytest.mark.parametrize(
        ("name", "start", "piece"),
        [
            pytest.param("tiny chunks", b"", b"1\r\nx\r\n" * 1000, id="tiny chunks"),
            pytest.param(
                "long extensions", b"", b"1;" + b"x" * 8000 + b"\r\nx\r\n", id="long extensions"
            ),
            pytest.param("endless trailers", b"0\r\n", b"A: b\r\n" * 1000, id="endless trailers"),
        ],
    )
    def test_that_cost_more_than_they_bring_hold_nobody_up(
        self, server: Server, watch: Watch, name: str, start: bytes, piece: bytes, what: str
    ) -> None:
        with watch(server, "oversize", f"bodies of {name} for {what}") as trial:
            session = join_over_polling(server)
            path = session.target if what == "a session" else "/mark/"
            with chunked(server, path) as http:
                http.send(start)
                answer = send_for_ever(http, piece, trial)
            assert statuses(answer) in ([400 if what == "a session" else 411], [])
            if what == "a session":  # the answer is lost where the reset was faster
                wait_until(lambda: REFUSED in trial.log, "it to be refused for its chunks")
            session.close()

    def test_in_tiny_chunks_are_refused(self, server: Server, watch: Watch) -> None:
        """Each costs as much as a large one."""
        with watch(server, "oversize", "bodies in tiny chunks", inputs=60) as trial:
            requests = [chunked(server, join_over_polling(server).target) for _ in range(60)]
            for http in requests:
                with suppress(OSError):  # it is refused while we send
                    http.send(b"1\r\nx\r\n" * 40_000)
            wait_until(lambda: trial.log.count(REFUSED) == 60, "all to be refused")
            for http in requests:
                http.close()

    @pytest.mark.parametrize("path", ["/mark/", "/body/"])
    def test_without_an_end_hold_nobody_up_whether_a_view_reads_them_or_not(
        self, server: Server, watch: Watch, path: str
    ) -> None:
        with (
            watch(server, "oversize", f"bodies without an end for {path}") as trial,
            Http(server.address) as http,
        ):
            http.send_request("POST", path, headers={"Content-Length": str(10**17)})
            send_for_ever(http, b"x" * 65_536, trial)

    def test_of_nothing_but_separators_are_refused(self, server: Server, watch: Watch) -> None:
        bodies = [b"\x1e" * 50_001, b"\x1e" * MAX_PAYLOAD]
        with watch(server, "oversize", "payloads of separators", inputs=len(bodies)):
            for body in bodies:
                session = join_over_polling(server)
                assert session.post(body).status == 400
                session.cut()

    def test_of_very_many_packets_hold_nobody_up(self, server: Server, watch: Watch) -> None:
        packets = ['42["message",0]'] * 40_000
        with watch(server, "oversize", "payloads of 40,000 packets", inputs=len(packets)):
            session = join_over_polling(server)
            session.send(*packets)
            session.send('421["echo",1]')
            assert session.receive() == ["431[1]"]
            session.close()


def chunked(server: Server, path: str) -> Http:
    """Return a connection on which a POST has begun, whose body comes in chunks."""
    http = Http(server.address)
    http.begin_post(path)
    return http


class TestHeads:
    @pytest.mark.parametrize(
        ("name", "start", "piece", "status"),
        [
            ("an endless line", b"GET /", b"x" * 1000, 414),
            ("an endless query", b"GET /socket.io/?EIO=4&x=", b"%41" * 300, 414),
            ("an endless header", b"GET / HTTP/1.1\r\nA: ", b"x" * 1000, 431),
            ("endless headers", b"GET / HTTP/1.1\r\n", b"A: b\r\n", 431),
            ("an endless name", b"GET / HTTP/1.1\r\n", b"x" * 1000, 431),
        ],
    )
    def test_that_never_end_are_refused(
        self, server: Server, watch: Watch, name: str, start: bytes, piece: bytes, status: int
    ) -> None:
        with (
            watch(server, "oversize", f"heads with {name}") as trial,
            Http(server.address) as http,
        ):
            http.send(start)
            answer = send_for_ever(http, piece, trial)
            assert statuses(answer) in ([status], [])  # lost where the reset was faster

    def test_with_a_hundred_cookies_and_parameters_are_taken(
        self, server: Server, watch: Watch
    ) -> None:
        with watch(server, "oversize", "large heads that are right", inputs=100):
            cookies = "; ".join(f"c{n}={n}" for n in range(500))
            for number in range(100):
                websocket = join(
                    server,
                    query={f"p{n}": "x" * 50 for n in range(100)},
                    headers={"Cookie": cookies},
                )
                assert ask(websocket, f'["echo",{number}]') == f"[{number}]"
                websocket.close()

    def test_with_cookies_that_take_long_to_read_hold_nobody_up(
        self, server: Server, watch: Watch
    ) -> None:
        """Some Pythons take seconds for them, and refuse them therefore (CVE-2024-7592)."""
        cookie = 'a="' + '\\"' * 30_000 + '"'
        with watch(server, "oversize", "cookies of escaped quotes", inputs=20):
            found = set()
            for _ in range(10):
                for path in (target("polling"), "/stats/"):
                    with Http(server.address) as http:
                        found.add(http.get(path, {"Cookie": cookie}).status)
            assert found == ({431} if READS_COOKIES_SLOWLY else {200})


class TestAttachments:
    """Binary packets: how many attachments, which placeholders."""

    BAD = (
        '4511-["message"]',
        '45999999999-["message"]',
        "451-[]",
        '451-["message"]',
        '452-["message",{"_placeholder":true,"num":0}]',
        '451-["message",{"_placeholder":true,"num":1}]',
        '451-["message",{"_placeholder":true,"num":-1}]',
        '451-["message",{"_placeholder":true,"num":"0"}]',
        '451-["message",{"_placeholder":true,"num":0.0}]',
        '451-["message",{"_placeholder":true,"num":1e400}]',
        '451-["message",{"_placeholder":true,"num":null}]',
        '451-["message",{"_placeholder":true,"num":[0]}]',
        '451-["message",{"_placeholder":true,"num":99999999999999999999}]',
        '451-["message",{"_placeholder":true}]',
        '452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]',
        '450-["message",{"_placeholder":true,"num":0}]',
        '451-[{"_placeholder":true,"num":0}]',
        '45-["message",{"_placeholder":true,"num":0}]',
        '45-1-["message",{"_placeholder":true,"num":0}]',
        '45٣-["message",{"_placeholder":true,"num":0}]',
        '461-["x",{"_placeholder":true,"num":0}]',
    )

    def test_that_do_not_fit_end_the_session(self, server: Server, watch: Watch) -> None:
        with watch(server, "attachments", "counts and placeholders", inputs=len(self.BAD)):
            wrong = {}
            for packet in self.BAD:
                websocket = join(server)
                websocket.send_text(packet)
                websocket.send_text('421["echo",1]')  # no text may come while some are due
                closed = websocket.wait_for_close()
                if closed.code != 1007:
                    wrong[packet] = closed
            assert wrong == {}

    def test_that_nobody_announced_end_the_session(self, server: Server, watch: Watch) -> None:
        with watch(server, "attachments", "without a packet", inputs=100):
            for size in range(100):
                websocket = join(server)
                websocket.send(frame(BINARY, bytes(size)))
                assert close_code(websocket) == 1007

    def test_that_are_too_large_together_end_the_session(
        self, server: Server, watch: Watch
    ) -> None:
        with watch(server, "attachments", "too large together", inputs=10):
            websocket = join(server)
            websocket.send_text(announcement(10))
            with suppress(OSError):
                for _ in range(10):
                    websocket.send(frame(BINARY, bytes(MAX_PAYLOAD // 8)))
            assert close_code(websocket) == 1007

    def test_that_never_come_are_bounded_for_the_whole_process(
        self, server: Server, watch: Watch
    ) -> None:
        count, attachment = 120, frame(BINARY, bytes(110_000))
        with watch(server, "attachments", "that never come", inputs=count, most=MOST):
            before = look(server, "stats")["refusals"].get("pending", 0)
            clients, other = crowd(server, count), join(server)
            send_all(clients, frame(TEXT, announcement(10)) + attachment * 9)
            wait_until(
                lambda: look(server, "stats")["refusals"].get("pending", 0) >= before + 30,
                "some to go",
            )
            assert waiting_bytes(server) <= 64 * MIB
            assert ask(other, '["echo",1]') == "[1]"
            for client in (*clients, other):
                client.reset()

    def test_that_come_as_announced_arrive(self, server: Server, watch: Watch) -> None:
        with watch(server, "attachments", "that are right", inputs=1000):
            websocket = join(server)
            for number in range(100):
                websocket.send_text(announcement(10, ack_id=number))
                for attachment in range(10):
                    websocket.send(frame(BINARY, struct.pack("!HH", number, attachment)))
                assert websocket.receive_text().startswith(f"4610-{number}[")
                received = [websocket.receive() for _ in range(10)]
                assert [struct.unpack("!HH", one.data) for one in received] == [
                    (number, attachment) for attachment in range(10)
                ]
            websocket.close()


def announcement(count: int, ack_id: int | None = None) -> str:
    """Return the text of an event with so many attachments."""
    placeholders = [{"_placeholder": True, "num": number} for number in range(count)]
    number = "" if ack_id is None else str(ack_id)
    return f"45{count}-{number}{json.dumps(['echo', *placeholders])}"
