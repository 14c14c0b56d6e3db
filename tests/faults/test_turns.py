"""What takes long takes turns: nobody else waits for more than one piece of it."""

import os
import re
import signal
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest

from tests.faults.crowd import (
    OFFER,
    OPEN,
    Wire,
    ask,
    close_all,
    connect,
    crowd,
    deflate,
    deflated,
    host_of,
    join,
    join_over_polling,
    plain,
    send_all,
    send_each,
)
from tests.faults.watch import MOST, Watch, longest_turn, look
from tests.faults.worst import EMPTY_BLOCKS, LARGE, WORST, fill
from tests.support.http import Http
from tests.support.server import Server
from tests.support.types import StartServer
from tests.support.websocket import BINARY, TEXT, frame, handshake_headers
from tests.support.wire import open_probe, target

pytestmark = pytest.mark.timeout(180)

SLACK = 0.25
"""Seconds of the processor's time that a turn may take for whatever else there is to do."""


def check_turns(server: Server, one: float) -> None:
    """Check that no turn of the loop was for many clients, since ``longest_turn`` was called.

    :param one: seconds that a turn takes for one of them.
    """
    assert longest_turn(server) < 4 * one + SLACK


@contextmanager
def all_at_once(server: Server) -> Iterator[None]:
    """Let what is sent meanwhile arrive in one turn of the loop."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


class TestLargeMessages:
    @pytest.mark.parametrize("kind", WORST)
    def test_of_many_clients_take_turns(self, server: Server, watch: Watch, kind: str) -> None:
        event = plain(f'421["echo",{WORST[kind]}]')
        name = f"large messages: {kind}"
        with watch(server, "turns", name, inputs=20 * 3, most=MOST, patience=90):
            clients = crowd(server, 20)
            send_each(clients, [event * 3] * 20, answers=3)
            for client in clients:
                client.cut()

    def test_of_sixty_clients_do(self, wire: Wire, watch: Watch) -> None:
        server, encode, headers = wire
        kinds = ("deep arrays", "empty arrays")  # most time, and most memory
        events = [encode(f'42["unknown",{WORST[kind]}]') for kind in kinds]
        name = f"large messages of 60{', deflated' if headers else ''}"
        with watch(server, "turns", name, inputs=60, most=MOST, patience=90):
            clients = [join(server, headers=headers) for _ in range(60)]
            send_each(clients, events * 30)
            send_all(clients, encode('421["echo",1]'))
            for client in clients:
                client.cut()

    def test_of_all_kinds_do_where_they_are_compressed(
        self, deflating: Server, watch: Watch
    ) -> None:
        """The answers are compressed as well; the last kind waits for an attachment."""
        place = '{"_placeholder":true,"num":0}'
        events = [deflated(f'421["echo",{text}]') for text in WORST.values()]
        binary = deflated(f'451-1["echo",{WORST["deep arrays"]},{place}]') + frame(BINARY, b"x")
        events += [binary]
        name = "large messages: all kinds, deflated"
        with watch(deflating, "turns", name, inputs=len(events) * 3, most=MOST, patience=90):
            clients = [join(deflating, headers=OFFER) for _ in range(len(events) * 3)]
            send_each(clients, events * 3, answers=1)
            for client in clients:
                client.cut()

    def test_with_an_attachment_do(self, server: Server, watch: Watch) -> None:
        """All of their JSON is searched for the attachment's place."""
        place = '{"_placeholder":true,"num":0}'
        event = frame(TEXT, f'451-["unknown",{WORST["deep arrays"]},{place}]') + frame(BINARY, b"x")
        with watch(server, "turns", "large messages: binary", inputs=20, most=MOST, patience=90):
            clients = crowd(server, 20)
            send_all(clients, event)
            for client in clients:
                client.cut()

    def test_with_an_attachment_do_at_a_quarter_of_the_size(
        self, server: Server, watch: Watch
    ) -> None:
        place = '{"_placeholder":true,"num":0}'
        text = f'451-1["echo",{place},{fill("[" * 10 + "]" * 10, 31_900)}]'
        count, event = 100, frame(TEXT, text) + frame(BINARY, b"x")
        with watch(server, "turns", "binary events of 32 kB", inputs=count * 3, most=MOST):
            clients = crowd(server, count)
            with all_at_once(server):
                send_all(clients, event)
            send_each(clients, [event * 2] * count, answers=6)
            for client in clients:
                client.cut()

    def test_that_only_inflate_do(self, deflating: Server, watch: Watch) -> None:
        count, bomb = 100, deflated('42["unknown","' + "x" * LARGE + '"]')
        with watch(deflating, "turns", "much to inflate", inputs=count * 4, most=MOST, patience=90):
            clients = [join(deflating, headers=OFFER) for _ in range(count)]
            longest_turn(deflating)
            clients[0].send(bomb)
            assert ask(clients[0], '["echo",1]') == "[1]"
            one = longest_turn(deflating)
            with all_at_once(deflating):
                send_all(clients, bomb * 4)
            send_each(clients, [plain('421["echo",1]')] * count, answers=1)
            check_turns(deflating, one)
            for client in clients:
                client.cut()

    def test_that_inflate_to_nothing_do(self, deflating: Server, watch: Watch) -> None:
        blocks = EMPTY_BLOCKS * (300_000 // len(EMPTY_BLOCKS))
        event = frame(TEXT, blocks + deflate(b'421["echo",1]'), reserved=4)
        name = "much that inflates to nothing"
        with watch(deflating, "turns", name, inputs=40, most=MOST, patience=90):
            before = look(deflating, "stats")["refusals"]
            clients = [join(deflating, headers=OFFER) for _ in range(40)]
            send_all(clients, event)
            for client in clients:
                assert client.receive_text(timeout=90) == "431[1]"
                client.cut()
            assert look(deflating, "stats")["refusals"] == before

    def test_that_are_broadcast_are_compressed_once(self, deflating: Server, watch: Watch) -> None:
        """Letters in random order take longest."""
        letters = "".join(Random(1).choices("ab", k=LARGE))
        with watch(deflating, "turns", "a broadcast to all windows", inputs=7, most=MOST):
            for bits in range(9, 16):
                offer = f"permessage-deflate; server_max_window_bits={bits}"
                client = join(deflating, headers={"Sec-WebSocket-Extensions": offer})
                client.send_text('421["__subscribe__","room-windows"]')
                assert client.receive_text() == "431[true]"
            sender = join(deflating)
            sender.send_text(f'421["say","room-windows","{letters}"]')
            assert sender.receive_text(timeout=90).startswith("431")
            close_all()


def open_session(server: Server, revision: str) -> tuple[Http, str]:
    """Open a session over polling; return its connection, and the target of its requests."""
    http = Http(server.address)
    opening = http.get(target("polling", EIO=revision)).text
    (sid,) = re.findall('"sid":"([^"]*)"', opening)
    return http, target("polling", EIO=revision, sid=sid)


def close_session(http: Http, path: str, revision: str) -> None:
    """Close a session, if it is open, and its connection."""
    http.request("POST", path, "1" if revision == "4" else "1:1")
    http.close()


LONG_TO_READ = {
    "commas in Connection": ("", "Connection: " + "," * 64_000),
    "lines": ("", "a:\n" * 21_000),
    "parameters": ("&%f0" * 1950, ""),
    "cookies": ("", "Cookie: socketio-" + ";" * 64_000),
    "offers": ("", "Sec-WebSocket-Extensions: " + "," * 64_000),
}
"""What is long to read in the head of a request: the end of its query, and header lines."""


class TestRequestsThatTakeLongToRead:
    @pytest.mark.parametrize("kind", LONG_TO_READ)
    def test_are_read_in_part_or_refused(self, deflating: Server, watch: Watch, kind: str) -> None:
        more, line = LONG_TO_READ[kind]
        usual = "\r\n".join(f"{name}: {value}" for name, value in handshake_headers().items())
        with watch(deflating, "turns", f"requests with very many {kind}", inputs=600, most=MOST):
            http, path = open_session(deflating, "4")
            probe = path.replace("polling", "websocket")
            head = f"GET {probe}{more} HTTP/1.1\r\nHost: {host_of(deflating)}\r\n{usual}\r\n"
            for _ in range(10):
                requests = [connect(deflating) for _ in range(60)]
                for request in requests:
                    request.send(f"{head}{line}\r\n\r\n".encode())
                for request in requests:
                    assert request.sock.recv(100)
                    request.close()
            close_session(http, path, "4")


class TestJoining:
    def test_with_auth_that_takes_long_to_decode_takes_turns(
        self, server: Server, watch: Watch
    ) -> None:
        auth = '{"list":' + fill("[[[[[[[[[[]]]]]]]]]]", 8000) + "}"
        again = frame(TEXT, f"40/part-1,{auth}") + frame(TEXT, "41/part-1,")
        with watch(server, "turns", "joining again with auth", inputs=60 * 7, most=MOST):
            clients = crowd(server, 60)
            send_all(clients, again * 7 + frame(TEXT, '421["echo",1]'))
            for client in clients:
                while client.receive_text() != "431[1]":
                    pass
                client.cut()


class TestManySmallPackets:
    @pytest.mark.parametrize(
        ("revision", "body"),
        [
            pytest.param("4", "\x1e".join(["6"] * 49_999), id="revision 4"),
            pytest.param("3", "1:6" * 49_999, id="revision 3"),
        ],
    )
    def test_of_one_payload_take_turns(
        self, share_attacked: StartServer, watch: Watch, revision: str, body: str
    ) -> None:
        server = share_attacked(settings={"SOCKETIO_ALLOW_EIO3": True})
        name = f"tiny packets of revision {revision}"
        with watch(server, "turns", name, inputs=20 * 49_999, most=MOST):
            sessions = [open_session(server, revision) for _ in range(20)]
            longest_turn(server)
            for http, path in sessions:
                http.send_request("POST", path, body)
            for http, _ in sessions:
                assert http.read_response().body == b"ok"
            check_turns(server, 0.0)  # even one of them takes several
            for http, path in sessions:
                close_session(http, path, revision)

    def test_of_short_payloads_share_a_turn(self, server: Server, watch: Watch) -> None:
        body = "\x1e".join(["40/x"] * 819)
        with watch(server, "turns", "short payloads", inputs=60 * 819, most=MOST):
            sessions = [open_session(server, "4") for _ in range(60)]
            for http, path in sessions:
                http.send_request("POST", path, body)
            for http, path in sessions:
                assert http.read_response().body == b"ok"
                close_session(http, path, "4")


class TestManySmallEvents:
    @pytest.mark.parametrize(
        ("revision", "packet"),
        [
            pytest.param("4", '42["unknown"]', id="events"),
            pytest.param("4", '421["echo"]', id="events that are answered"),
            pytest.param("3", "431[]", id="acknowledgements"),
        ],
    )
    def test_of_one_payload_are_kept_as_its_text(
        self, share_attacked: StartServer, watch: Watch, revision: str, packet: str
    ) -> None:
        """Once they are decoded, they take ten times as much; nobody fetches the answers."""
        server = share_attacked(
            settings={"SOCKETIO_ALLOW_EIO3": True, "SOCKETIO_STALL_TIMEOUT": 1.0}
        )
        name = f"small packets of revision {revision}: {packet}"
        body = (
            "\x1e".join([packet] * 40_000)
            if revision == "4"
            else f"{len(packet)}:{packet}" * 40_000
        )
        with watch(server, "turns", name, inputs=20 * 40_000, most=MOST):
            sessions = [open_session(server, revision) for _ in range(20)]
            for http, path in sessions:
                if revision == "4":
                    http.request("POST", path, "40")
                    http.get(path)
                http.send_request("POST", path, body)
            for http, path in sessions:
                http.read_response()
                close_session(http, path, revision)


class TestMessagesThatWaited:
    """What a client gets all at once is compressed only in part."""

    COUNT = 480

    def test_for_an_upgrade_are_sent_in_no_time(self, deflating: Server, watch: Watch) -> None:
        name = "480 messages of 32 kB that wait for an upgrade"
        with watch(deflating, "turns", name, inputs=self.COUNT, most=MOST):
            session = join_over_polling(deflating)
            session.send('421["__subscribe__","room-waiting"]')
            assert session.receive() == ["431[true]"]
            self.publish(deflating, "room-waiting")
            websocket = open_probe(session, OFFER)
            OPEN.append(websocket)
            websocket.send_text("2probe")
            assert websocket.receive_text() == "3probe"
            longest_turn(deflating)
            websocket.send_text("5")
            compressed = [websocket.receive().reserved for _ in range(self.COUNT)]
            assert sum(map(bool, compressed)) == 1
            check_turns(deflating, 0.0)
            close_all()

    def test_for_a_handlers_decision_are_sent_in_no_time(
        self, deflating: Server, watch: Watch
    ) -> None:
        name = "480 messages of 32 kB that wait for on_subscribe"
        with watch(deflating, "turns", name, inputs=self.COUNT, most=MOST):
            client = join(deflating, headers=OFFER)
            client.send_text('42["__subscribe__","slow-waiting"]')
            longest_turn(deflating)
            self.publish(deflating, "slow-waiting")
            for _ in range(self.COUNT):
                assert client.receive().data
            check_turns(deflating, 0.0)
            close_all()

    def publish(self, server: Server, channel: str) -> None:
        """Publish messages that take long to compress."""
        letters = "".join(Random(1).choices("abcd", k=32_500))
        sender = join(server)
        for _ in range(self.COUNT):
            sender.send_text(f'42["say","{channel}","{letters}"]')
        assert ask(sender, '["echo",1]') == "[1]"


class TestLargeAnswersToPolls:
    def test_are_compressed_one_after_another(self, server: Server, watch: Watch) -> None:
        text = b64encode(Random(1).randbytes(700_000)).decode()
        with watch(server, "turns", "large answers to polls", inputs=40, most=MOST):
            sessions = [join_over_polling(server) for _ in range(40)]
            for session in sessions:
                session.send(f'421["echo","{text}"]')
            polls = []
            for session in sessions:
                http = Http(server.address)
                http.send_request("GET", session.target, headers={"Accept-Encoding": "gzip"})
                polls.append(http)
            for http in polls:
                assert http.read_response().headers["content-encoding"] == "gzip"
                http.close()
            for session in sessions:
                session.close()
