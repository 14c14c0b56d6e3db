"""Very many clients that do the wrong thing at the same time."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Thread

import pytest

from tests.faults.crowd import (
    Wire,
    ask,
    close_code,
    connect,
    crowd,
    crowd_over_polling,
    host_of,
    join,
    join_over_polling,
    plain,
    send_all,
    send_each,
)
from tests.faults.watch import MIB, MOST, Memory, Watch, look
from tests.faults.worst import fill
from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.types import StartServer
from tests.support.websocket import CONTINUATION, WebSocket, frame
from tests.support.wire import Polling

pytestmark = pytest.mark.timeout(180)

MAX_PEAK = 400 * MIB
"""Bytes by which 500 stalled clients may let the server grow: far less than 1 MB for each."""


class TestStalledReaders:
    def test_500_of_them_are_closed_while_all_others_get_every_message(
        self, share_attacked: StartServer, watch: Watch
    ) -> None:
        # They are closed for what waits for them, not for how long that has stood still.
        server = share_attacked(
            settings={"SOCKETIO_STALL_TIMEOUT": 600.0, "SOCKETIO_MAX_QUEUED_BYTES": 1_000_000}
        )
        messages, size = 250, 8192
        with watch(server, "crowds", "500 stalled readers, 8 KiB messages", inputs=messages * 510):
            before = Memory.of(server.pid).now
            refused = look(server, "stats")["refusals"].get("queued", 0)
            stalled: list[WebSocket | Polling] = [
                *crowd(server, 400, channel="flood", receive_buffer=4096),
                *crowd_over_polling(server, 100, channel="flood"),
            ]
            readers = crowd(server, 10, channel="flood")
            sender = join(server)
            received: list[list[int]] = [[] for _ in readers]

            def read(reader: WebSocket, numbers: list[int]) -> None:
                with suppress(ConnectionError):
                    while len(numbers) < messages:
                        numbers.append(json.loads(reader.receive_text()[2:])[1][0])

            threads = [
                Thread(target=read, args=(reader, numbers))
                for reader, numbers in zip(readers, received, strict=True)
            ]
            for thread in threads:
                thread.start()
            for first in range(0, messages, 10):
                flood = ["flood", "flood", first, first + 10, size]
                assert ask(sender, json.dumps(flood), first) == "[]"
            for thread in threads:
                thread.join()
            assert received == [list(range(messages))] * len(readers)
            wait_until(
                lambda: look(server, "stats")["refusals"]["queued"] == refused + len(stalled),
                "the stalled to be closed",
            )
            assert Memory.of(server.pid).peak < before + MAX_PEAK
            for client in (*readers, sender):
                client.close()
            for one in stalled:
                one.cut()
            wait_until(
                lambda: look(server, "stats")["channels"] == 0, "the channel to be forgotten"
            )


class TestEventsBelowALargeOne:
    def test_of_60_clients_are_handled_in_turns(self, wire: Wire, watch: Watch) -> None:
        server, encode, headers = wire
        count, event = 20, encode('42["unheard",[' + "1e15," * 6_200 + "0]]")
        name = f"60 clients, 31 kB of numbers{', deflated' if headers else ''}"
        with watch(server, "crowds", name, inputs=60 * count, most=MOST):
            clients = [join(server, headers=headers) for _ in range(60)]

            def flood(client: WebSocket) -> None:
                for _ in range(count):
                    client.send(event)
                assert ask(client, '["echo",1]') == "[1]"

            with ThreadPoolExecutor(len(clients)) as executor:
                list(executor.map(flood, clients))
            for client in clients:
                client.close()

    def test_of_100_clients_take_no_longer_for_their_numbers(
        self, server: Server, watch: Watch
    ) -> None:
        event = plain(f'42["unheard",{fill("9e306", 4_060)}]')
        with watch(server, "crowds", "100 clients, 4 kB of slow numbers", inputs=500, most=MOST):
            clients = crowd(server, 100)
            send_all(clients, event * 5)
            for client in clients:
                assert ask(client, '["echo",1]') == "[1]"
                client.close()

    def test_of_many_arrays_in_several_namespaces_take_turns_of_their_own(
        self, server: Server, watch: Watch
    ) -> None:
        names = [f"/part-{number}" for number in range(4)]
        joins = b"".join(plain(f"40{name},") for name in names)
        arrays = fill("[" * 10 + "]" * 10, 31_900)
        events = b"".join(plain(f'42{name},["unheard",{arrays}]') for name in names)
        with watch(server, "crowds", "400 events of 32 kB of arrays", inputs=400, most=MOST):
            clients = crowd(server, 100)
            send_each(clients, [joins] * len(clients), answers=len(names))
            send_all(clients, events)
            for client in clients:
                assert ask(client, '["echo",1]') == "[1]"
                client.close()


class TestMessagesInVeryManyFrames:
    """Frames cost work though they bring nothing."""

    FEW = 64
    """How many a message of few bytes may have."""

    def test_of_60_clients_are_refused(self, wire: Wire, watch: Watch) -> None:
        server, encode, headers = wire
        name = f"60 clients, 1,002 frames a message{', deflated' if headers else ''}"
        with watch(server, "crowds", name, inputs=60 * (10 * self.FEW + 1002), most=MOST):
            clients = [join(server, headers=headers) for _ in range(60)]
            few, many = (in_frames(encode('421["echo",1]'), n) for n in (self.FEW, 1002))
            for client in clients:
                client.send(few * 10)
            for client in clients:
                for _ in range(10):
                    assert client.receive_text() == "431[1]"
            for client in clients:
                client.send(many)
            for client in clients:
                assert close_code(client) == 1009


def in_frames(whole: bytes, count: int) -> bytes:
    """Return a message of one frame as so many, of which all but the first are empty."""
    empty = frame(CONTINUATION, fin=False) * (count - 2)
    return bytes([whole[0] & 0x7F]) + whole[1:] + empty + frame(CONTINUATION)


class TestResets:
    def test_1000_at_once_end_every_connection_once(self, server: Server, watch: Watch) -> None:
        with watch(server, "crowds", "1,000 resets at once", inputs=1000):
            clients = crowd(server, 700, channel="room-1")
            heads = [connect(server, "GET / HTTP/1.1\r\nHost: ") for _ in range(300)]
            for client in clients[:350]:
                client.send_text('42["echo"')  # a packet under way
                client.send_text('421["say","room-1",1]')
            for client in clients:
                client.reset()
            for head in heads:
                head.reset()

    def test_of_polls_that_wait_free_what_they_held(self, impatient: Server, watch: Watch) -> None:
        with watch(impatient, "crowds", "300 resets of waiting polls", inputs=300):
            sessions = [join_over_polling(impatient) for _ in range(300)]
            for session in sessions:
                session.start_poll()
            for session in sessions:
                session.reset()

    def test_behind_a_handshake_leave_nothing(self, server: Server, watch: Watch) -> None:
        request = (
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host_of(server)}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n\r\n"
        )
        with watch(server, "crowds", "500 resets behind the handshake", inputs=500):
            for _ in range(500):
                connect(server, request).reset()


EXCEPTIONS = [
    "RuntimeError",
    "MemoryError",
    "RecursionError",
    "Untellable",
    "a timeout left behind",
    "GreenletExit",
    "BaseExceptionGroup",
]


class TestHandlersThatRaise:
    @pytest.mark.parametrize("what", EXCEPTIONS)
    def test_in_every_event_end_nothing_and_keep_nothing_from_running(
        self, share_attacked: StartServer, watch: Watch, what: str
    ) -> None:
        server = share_attacked(
            settings={
                "SOCKETIO_EVENTS": ["tests.faults.project.raising", "tests.faults.project.handlers"]
            }
        )
        with watch(server, "handlers", f"raising {what}", inputs=6 * 7, raises=True):
            clients = [join(server, query={"raise": what}) for _ in range(6)]
            for client in clients:
                for channel in ("room-1", "room-2"):
                    client.send_text(f'42["__subscribe__","{channel}"]')
                for event in ("message", "fail", "unknown"):
                    client.send_text(f'421["{event}",1]')
                client.send_text('42["__unsubscribe__","room-1"]')
                client.send_text("40/refusing,")
                client.send_text('421["echo","still there"]')
            for client in clients:
                while client.receive_text() != '431["still there"]':
                    pass
            for client in clients[::2]:
                client.close()
            for client in clients[1::2]:
                client.reset()
