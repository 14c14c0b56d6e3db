"""More than anybody asks for: pings, events, requests, subscriptions."""

import json
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

import pytest

from socketio_server.net.queued_output import SLOW
from socketio_server.options import Options
from tests.faults.crowd import (
    OFFER,
    ask,
    close_all,
    connect,
    crowd,
    deflated,
    host_of,
    join,
    join_over_polling,
    statuses,
)
from tests.faults.project.views import LARGE
from tests.faults.watch import MIB, MOST, Watch, look, waiting_bytes
from tests.support.http import Http, Refused
from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.types import StartServer
from tests.support.websocket import BINARY, PING, PONG, TEXT, WebSocket, frame
from tests.support.wire import target

pytestmark = pytest.mark.timeout(120)

HIGH_WATER = Options().high_water
MAX_CHANNELS = 256
MAX_CHANNEL_LENGTH = 128
MAX_NAMESPACES = 16


def send_in_background(websocket: WebSocket, data: bytes) -> Thread:
    """Send bytes while their answers are read."""

    def send() -> None:
        with suppress(OSError):  # it is closed meanwhile
            websocket.send(data)

    thread = Thread(target=send)
    thread.start()
    return thread


def slow_clients(server: Server) -> int:
    """Return how many clients a server has closed because they took too little."""
    refusals: dict[str, int] = look(server, "stats")["refusals"]
    return sum(refusals.get(kind, 0) for kind in set(SLOW.values()))


class TestFrames:
    def test_a_flood_of_pings_ends_the_connection(self, server: Server, watch: Watch) -> None:
        with watch(server, "floods", "WebSocket pings", inputs=20 * 5000):
            for client in crowd(server, 20):
                sending = send_in_background(client, frame(PING, b"x" * 125) * 5000)
                assert client.wait_for_close().code == 1008
                sending.join()

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("WebSocket pongs", frame(PONG, b"x")),
            ("Engine.IO pongs", frame(TEXT, "3")),
            ("Engine.IO noops", frame(TEXT, "6")),
            ("acknowledgements", frame(TEXT, "431[]")),
            ("unknown events", frame(TEXT, '42["x"]')),
            ("empty fragments", frame(TEXT, "6", fin=False) + frame(0, b"")),
            ("unknown events, deflated", deflated('42["x"]')),
        ],
        ids=lambda value: value if isinstance(value, str) else "frame",
    )
    def test_a_flood_of_what_needs_no_answer_is_read_at_the_rate_of_the_limit(
        self, share_attacked: StartServer, watch: Watch, name: str, data: bytes
    ) -> None:
        burst = 10_000
        server = share_attacked(
            settings={
                "SOCKETIO_PER_MESSAGE_DEFLATE": True,
                "SOCKETIO_MAX_PACKET_BURST": burst,
                "SOCKETIO_MAX_PACKET_RATE": 2000,
            }
        )
        with watch(server, "floods", name, inputs=burst + 4000, most=MOST):
            before = look(server, "stats")["refusals"].get("rate", 0)
            websocket = join(server, headers=OFFER)
            sending = send_in_background(websocket, data * (burst + 4000))
            sending.join()
            assert ask(websocket, '["echo",1]') == "[1]"
            assert look(server, "stats")["refusals"]["rate"] > before
            websocket.close()


class TestEvents:
    def test_a_flood_that_wants_answers_gets_them_all_in_order(
        self, server: Server, watch: Watch
    ) -> None:
        count = 30_000
        with watch(server, "floods", "events to be acknowledged", inputs=count):
            websocket = join(server)
            events = [frame(TEXT, f'42{number}["echo",{number}]') for number in range(count)]
            sending = send_in_background(websocket, b"".join(events))
            for number in range(count):
                assert websocket.receive_text() == f"43{number}[{number}]"
            sending.join()
            websocket.close()

    def test_a_flood_whose_answers_nobody_reads_costs_little(
        self, impatient: Server, watch: Watch
    ) -> None:
        """A client's handlers wait for it, instead of queueing more."""
        large = json.dumps(["echo", "x" * 10_000])
        name = "events whose answers nobody reads"

        def all_are_closed() -> bool:  # an answer more waits to be queued
            assert look(impatient, "stats")["queued_bytes"] < 20 * (HIGH_WATER + 30_000)
            return slow_clients(impatient) == before + 20

        with watch(impatient, "floods", name, inputs=20 * 1000, most=MOST):
            before = slow_clients(impatient)
            clients = crowd(impatient, 20, receive_buffer=4096)
            flood = frame(TEXT, f"421{large}") * 1000
            senders = [send_in_background(client, flood) for client in clients]
            wait_until(all_are_closed, "all to be closed")
            for sender in senders:
                sender.join()
            for client in clients:
                client.cut()


class TestRequests:
    def test_a_flood_of_handshakes_that_lead_to_nothing_is_forgotten(
        self, server: Server, watch: Watch
    ) -> None:
        with watch(server, "floods", "handshakes", inputs=1000), Http(server.address) as http:
            for _ in range(1000):
                assert http.get(target("polling")).status == 200

    def test_a_pipeline_whose_answers_nobody_reads_is_cut_off(
        self, impatient: Server, watch: Watch
    ) -> None:
        request = f"GET /large/ HTTP/1.1\r\nHost: {host_of(impatient)}\r\n\r\n".encode()
        count = 200
        with watch(impatient, "floods", "pipelined requests", inputs=20 * count):
            before = look(impatient, "stats")["connections"]
            connections = [Http(impatient.address, receive_buffer=4096) for _ in range(20)]
            for http in connections:
                http.send(request * count)
            wait_until(
                lambda: look(impatient, "stats")["connections"] <= before, "all to be cut off"
            )
            for http in connections:
                assert len(http.read_to_the_end()) < count * LARGE
                http.close()

    def test_a_pipeline_holds_nobody_up_and_is_answered(self, server: Server, watch: Watch) -> None:
        request = f"GET /body/ HTTP/1.1\r\nHost: {host_of(server)}\r\n\r\n".encode()
        last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        count = 200
        with watch(server, "floods", "pipelined requests, answered", inputs=20 * count):
            connections = [Http(server.address) for _ in range(20)]
            for http in connections:
                http.send(request * (count - 1) + last)
            for http in connections:
                assert statuses(http.read_to_the_end()) == [200] * count
                http.close()

    def test_a_second_poll_while_one_waits_ends_the_session(
        self, server: Server, watch: Watch
    ) -> None:
        with watch(server, "floods", "two polls at once", inputs=100):
            for _ in range(100):
                session = join_over_polling(server)
                session.start_poll()
                with Http(server.address) as http:
                    found = {
                        http.get(session.target).status,
                        session._getter.read_response().status,
                    }
                assert found == {400, 200}
                session.cut()

    def test_connections_that_only_open_are_served_like_others(
        self, impatient: Server, watch: Watch
    ) -> None:
        with watch(impatient, "floods", "connections", inputs=1000):
            connections = [connect(impatient) for _ in range(1000)]
            assert look(impatient, "stats")["connections"] >= 1000
            for connection in connections:
                connection.close()


class TestQuestions:
    def test_that_nobody_answers_are_bounded_for_the_whole_process(
        self, server: Server, watch: Watch
    ) -> None:
        parts = [f"/part-{number}" for number in range(MAX_NAMESPACES - 1)]
        count = 24 * len(parts)
        with watch(server, "questions", "that nobody answers", inputs=count, most=MOST):
            before = look(server, "stats")["refusals"].get("pending", 0)
            for client in crowd(server, 24):
                with suppress(ConnectionError):  # once it is given up
                    for part in parts:
                        client.send_text(f"40{part},")
                        assert client.receive_text().startswith(f'40{part},{{"sid"')
                        client.send_text(f'42{part},1["questions",1000]')
                        while not client.receive_text().startswith(f"43{part},"):
                            pass
            wait_until(
                lambda: look(server, "stats")["refusals"].get("pending", 0) > before, "some to go"
            )
            assert waiting_bytes(server) <= 64 * MIB
            close_all()


ODD_NAMES = {
    "nothing": "",
    "too long": "x" * (MAX_CHANNEL_LENGTH + 1),
    "very long": "x" * 900_000,
    "a line break": "room\n1",
    "a zero byte": "room\x00",
    "a bell": "\x07",
    "DEL": "\x7f",
    "a line separator": "\u2028",
    "nothing to see": "\u200b",
    "right to left": "\u202eroom",
    "a mark of order": "\ufeffroom",
    "half a character": "\ud800",
    "a number": 1,
    "null": None,
    "true": True,
    "an array": ["room-1"],
    "an object": {"name": "room-1"},
}
"""What is no channel's name; half a character becomes a whole one, which may be."""


class TestSubscriptions:
    def test_end_with_as_many_channels_as_one_client_may_hold(
        self, server: Server, watch: Watch
    ) -> None:
        count = 10_000
        with watch(server, "subscriptions", "10,000 names", inputs=count):
            websocket = join(server)
            wanted = [
                frame(TEXT, f'42{number}["__subscribe__","{number}"]') for number in range(count)
            ]
            sending = send_in_background(websocket, b"".join(wanted))
            answers = [websocket.receive_text() for _ in range(count)]
            sending.join()
            assert answers == [f"43{number}[true]" for number in range(MAX_CHANNELS)] + [
                f'43{number}[{{"error":"Invalid channel"}}]'
                for number in range(MAX_CHANNELS, count)
            ]
            assert look(server, "stats")["channels"] == MAX_CHANNELS
            websocket.close()

    def test_in_all_namespaces_end_with_their_client(self, server: Server, watch: Watch) -> None:
        """Names as long as they may be, and as many as there may be."""
        parts = [f"/part-{number}" for number in range(MAX_NAMESPACES - 1)]
        names = [f"{number:0{MAX_CHANNEL_LENGTH}}" for number in range(MAX_CHANNELS)]
        wanted = b"".join(
            frame(TEXT, f'42{part},1["__subscribe__","{name}"]') for name in names for part in parts
        )
        count = 5 * len(names) * len(parts)
        with watch(server, "subscriptions", "in 16 namespaces", inputs=count, most=MOST):
            clients = crowd(server, 5)
            for client in clients:
                for part in parts:
                    client.send_text(f"40{part},")
                    assert client.receive_text().startswith(f'40{part},{{"sid"')
                client.send_text("40/part-99,")
                assert client.receive_text().startswith("44/part-99,")
                sending = send_in_background(client, wanted)
                for _ in range(len(names) * len(parts)):
                    assert client.receive_text().endswith(",1[true]")
                sending.join()
            assert look(server, "stats")["channels"] == len(names) * len(parts)
            for client in clients:
                client.reset()

    def test_with_long_names_are_bounded_for_the_whole_process(
        self, server: Server, watch: Watch
    ) -> None:
        """Usual names, of however many clients, end nobody."""
        parts = [f"/part-{number}" for number in range(MAX_NAMESPACES - 1)]
        count = 48 * len(parts) * MAX_CHANNELS
        with watch(server, "subscriptions", "long names of all", inputs=count, most=MOST):
            before = look(server, "stats")["refusals"].get("pending", 0)
            honest = crowd(server, 20)
            for client in honest:
                for number in range(MAX_CHANNELS):
                    client.send_text(f'42["__subscribe__","prices-of-{number}"]')
            for number, client in enumerate(crowd(server, 48)):
                with suppress(ConnectionError):  # once it is given up
                    for part in parts:
                        client.send_text(f"40{part},")
                        names = (
                            f"{number} {part} {channel}".ljust(MAX_CHANNEL_LENGTH, "😀")
                            for channel in range(MAX_CHANNELS)
                        )
                        client.send(
                            b"".join(
                                frame(TEXT, f'42{part},["__subscribe__","{name}"]')
                                for name in names
                            )
                        )
            wait_until(
                lambda: look(server, "stats")["refusals"].get("pending", 0) >= before + 20,
                "some to go",
            )
            wait_until(lambda: waiting_bytes(server) <= 64 * MIB, "their last handlers to run")
            for client in honest:
                assert ask(client, '["__subscribe__","prices-of-1"]') == "[false]"
            close_all()

    def test_come_and_go_without_a_trace(self, server: Server, watch: Watch) -> None:
        count = 5_000
        with watch(server, "subscriptions", "there and back", inputs=count * 2):
            websocket = join(server)
            steps = [
                frame(TEXT, f'42{number}["__{way}__","{number}"]')
                for number in range(count)
                for way in ("subscribe", "unsubscribe")
            ]
            sending = send_in_background(websocket, b"".join(steps))
            for number in range(count):
                for _ in range(2):
                    assert websocket.receive_text() == f"43{number}[true]"
            sending.join()
            assert ask(websocket, '["__unsubscribe__","1"]') == "[false]"
            websocket.close()

    def test_to_odd_names_are_refused(self, server: Server, watch: Watch) -> None:
        with watch(server, "subscriptions", "odd names", inputs=len(ODD_NAMES) * 2):
            websocket = join(server)
            before = look(server, "stats")["channels"]
            taken = {
                (name, event): answer
                for name, value in ODD_NAMES.items()
                for event in ("__subscribe__", "__unsubscribe__")
                if (answer := ask(websocket, json.dumps([event, value])))
                != '[{"error":"Invalid channel"}]'
            }
            assert taken.keys() <= {
                ("half a character", "__subscribe__"),
                ("half a character", "__unsubscribe__"),
            }
            for wrong in ('["__subscribe__"]', '["__subscribe__","a","b"]', '["__subscribe__",[]]'):
                assert ask(websocket, wrong) == '[{"error":"Invalid channel"}]'
            assert look(server, "stats")["channels"] == before
            websocket.close()

    def test_to_what_sockets_are_called_show_nothing(self, server: Server, watch: Watch) -> None:
        with watch(server, "subscriptions", "sockets' ids as names", inputs=8):
            victim, spy, sender = join(server), join(server), join(server)
            (victim_id,) = json.loads(ask(victim, '["id"]'))
            (spy_id,) = json.loads(ask(spy, '["id"]'))
            for name in (victim_id, spy_id):
                refusal = '[{"error":"Invalid channel: it could be the id of a socket"}]'
                assert ask(spy, json.dumps(["__subscribe__", name])) == refusal
            names = ["/", f"/#{victim_id}", f"//{victim_id}", f"#{victim_id}"]
            names += [f"{victim_id}/", f"/{victim_id}"]
            for name in names:
                assert ask(spy, json.dumps(["__subscribe__", name])) == "[true]"
            for number in range(10):
                ask(sender, json.dumps(["tell", victim_id, number]))
                assert victim.receive_text() == f'42["message",{number}]'
            assert ask(spy, '["echo",1]') == "[1]"  # and nothing came before
            ask(sender, json.dumps(["tell", spy_id, "hello"]))
            assert spy.receive_text() == '42["message","hello"]'  # once
            assert ask(spy, '["echo",2]') == "[2]"
            ask(sender, json.dumps(["say", f"/{victim_id}", "not for the victim"]))
            assert spy.receive_text() == '42["message","not for the victim"]'
            assert ask(victim, '["echo",3]') == "[3]"
            for client in (victim, spy, sender):
                client.close()


class TestNamespaces:
    @pytest.mark.parametrize(
        "name", ["a line break\n", "a bell \x07", "long ".ljust(140), "nobody!"]
    )
    def test_with_odd_names_are_refused(self, server: Server, watch: Watch, name: str) -> None:
        with watch(server, "subscriptions", f"namespaces: {name[:5]}", inputs=1):
            websocket = join(server)
            websocket.send_text(f"40/part-1{name},")
            assert websocket.receive_text().startswith(f"44/part-1{name},")
            assert ask(websocket, '["echo",1]') == "[1]"
            websocket.close()


RESERVED = (
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
)
OURS = ("on_connect", "on_disconnect", "on_finish", "on_message", "on_error", "acknowledgement")
"""What handlers' events are called on our side; on the wire these are names like others."""


class TestEventNames:
    @pytest.mark.parametrize("how", ["as they are", "escaped", "with an id", "with an attachment"])
    def test_that_are_reserved_end_the_session(
        self, server: Server, watch: Watch, how: str
    ) -> None:
        write: Callable[[str], str] = {
            "as they are": lambda name: f'42["{name}",{{}}]',
            "escaped": lambda name: f'42["\\u{ord(name[0]):04x}{name[1:]}"]',
            "with an id": lambda name: f'421["{name}"]',
            "with an attachment": lambda name: f'451-["{name}",{{"_placeholder":true,"num":0}}]',
        }[how]
        with watch(server, "event names", f"reserved, {how}", inputs=len(RESERVED) * 2):
            for name in RESERVED:
                websocket = join(server)
                websocket.send_text(write(name))
                if how == "with an attachment":
                    websocket.send(frame(BINARY, b"x"))
                assert websocket.wait_for_close().code == 1007
                session = join_over_polling(server)
                with suppress(Refused):
                    session.send(write(name), *(["bAQID"] if how == "with an attachment" else []))
                with pytest.raises(ConnectionError, match="Session ID unknown"):
                    session.receive()
                session.cut()

    def test_of_our_own_events_reach_none_of_their_handlers(
        self, server: Server, watch: Watch
    ) -> None:
        with watch(server, "event names", "our own events'", inputs=len(OURS)):
            websocket = join(server)
            before = look(server, "census")["tally"]
            for name in OURS:
                websocket.send_text(f'42["{name}"]')
            assert ask(websocket, '["echo",1]') == "[1]"
            assert look(server, "census")["tally"] == before
            websocket.close()
