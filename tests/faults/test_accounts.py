"""What one client makes the server hold and compute.

Each test is an attack that once took gigabytes, seconds or all handlers.
"""

from contextlib import suppress
from sys import getsizeof
from threading import Thread
from time import monotonic

import pytest

from socketio_server.dispatch.client_account import LADEN
from socketio_server.dispatch.inbox import ITEM_COST
from tests.faults.crowd import (
    OFFER,
    OPEN,
    Wire,
    ask,
    close_all,
    close_code,
    connect,
    crowd,
    deflated,
    join,
    join_over_polling,
    plain,
    send_all,
    send_each,
)
from tests.faults.watch import MAX_ANSWER, MIB, MOST, Watch, limited_space, look, waiting_bytes
from tests.faults.worst import WORST, fill
from tests.support.http import Http, Refused
from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.types import StartServer
from tests.support.websocket import (
    CONTINUATION,
    PING,
    TEXT,
    WebSocket,
    frame,
    handshake_headers,
)
from tests.support.wire import TransportName, target

pytestmark = pytest.mark.timeout(180)


def waiting(size: int) -> str:
    """Return an event that takes so many bytes while it waits."""
    head, tail = '42["unknown","', '"]'
    rest = size - ITEM_COST - getsizeof(f"{head}{tail}") + len("4")
    return f"{head}{'x' * rest}{tail}"


class TestLargeHeaders:
    def test_are_kept_nowhere(self, server: Server, watch: Watch) -> None:
        """Caches that clients choose the keys of hold no large ones."""
        names = ["Origin", "Host", "Accept-Encoding", "Cookie", "User-Agent", "Sec-Fetch-Site", ""]
        with watch(server, "accounts", "large headers", inputs=1_550, most=24 * MIB):
            for number in range(1_550):
                value = f"x{number}-".ljust(60_000, "x")
                name = names[number % len(names)]
                with Http(server.address) as http:
                    http.get(target("pigeon"), {name: value} if name else {value: "x"})

    @pytest.mark.parametrize("transport", ["polling", "websocket"])
    @pytest.mark.parametrize("name", ["User-Agent", "Cookie"])
    def test_of_handshakes_are_bounded_for_the_whole_process(
        self, share_attacked: StartServer, watch: Watch, transport: TransportName, name: str
    ) -> None:
        """A session keeps its handshake's request; cookies take much more once they are parsed."""
        server = share_attacked(
            settings={"SOCKETIO_MAX_PENDING_TOTAL": 5_000_000, "SOCKETIO_CONNECT_TIMEOUT": 2.0}
        )
        value = "".join(f"a{number}=b;" for number in range(7000))[:60_000]
        what = f"sessions with large headers: {name}, {transport}"
        with watch(server, "accounts", what, inputs=200, most=MOST):
            for _ in range(200):
                connection = connect(server)
                headers = handshake_headers() if transport == "websocket" else {}
                connection.send_request("GET", target(transport), headers={**headers, name: value})
                with suppress(ConnectionError):  # it was refused
                    connection.read_response()
                assert waiting_bytes(server) <= 5_000_000
            assert look(server, "stats")["refusals"]["pending"] > 0
            close_all()


class TestEventsThatWait:
    @pytest.mark.parametrize(
        ("wire", "kind"),
        [
            ("plain", "empty arrays"),
            ("plain", "one emoji in much text"),
            ("deflated", "empty arrays"),
        ],
        indirect=["wire"],
    )
    def test_are_held_as_text_and_bounded(self, wire: Wire, watch: Watch, kind: str) -> None:
        """Decoded, one megabyte of them takes up to 45."""
        server, encode, headers = wire
        event = encode(f'42["unknown",{WORST[kind]}]')
        name = f"events that wait: {kind}{', deflated' if headers else ''}"
        with watch(server, "accounts", name, inputs=60, most=MOST):
            clients = [join(server, headers=headers) for _ in range(20)]
            for client in clients:
                client.send_text('42["wait",3]')
            senders = [Thread(target=send_all, args=([client], event * 3)) for client in clients]
            for sender in senders:
                sender.start()
            wait_until(lambda: waiting_bytes(server) > 20 * 500_000, "events to wait")
            assert waiting_bytes(server) < 20 * 2_100_000
            for sender in senders:
                sender.join()
            for client in clients:
                assert ask(client, '["echo",1]') == "[1]"
                client.close()

    def test_are_bounded_for_the_whole_process(
        self, share_attacked: StartServer, watch: Watch
    ) -> None:
        server = share_attacked(settings={"SOCKETIO_MAX_PENDING_TOTAL": 10_000_000})
        event = frame(TEXT, f'42["unknown",{fill("[]", 600_000)}]')
        with watch(server, "accounts", "events of all that wait", inputs=40, most=MOST):
            clients = crowd(server, 40)
            for client in clients:
                client.send_text('42["wait",5]')
            send_all(clients, event)
            wait_until(
                lambda: look(server, "stats")["refusals"].get("pending", 0) >= 20, "some to go"
            )
            assert waiting_bytes(server) <= 10_000_000
            for client in clients:
                client.cut()


class TestWhatHandlersWorkOn:
    def test_is_bounded_once_it_is_decoded(self, wire: Wire, watch: Watch) -> None:
        """It takes 45 times as much then, for as long as the handlers wait."""
        server, encode, headers = wire
        name = f"handlers that keep what they got{', deflated' if headers else ''}"
        with watch(server, "accounts", name, inputs=40, most=MOST, patience=90):
            clients = [join(server, headers=headers) for _ in range(40)]
            send_all(clients, encode(f'42["keep",0.3,{fill("[]", 200_000)}]'))
            wait_until(lambda: look(server, "stats")["decoded_bytes"] > 0, "some to be decoded")
            for client in clients:
                assert look(server, "stats")["decoded_bytes"] <= 48 * MIB
                assert ask(client, '["echo",1]') == "[1]"
                client.close()

    def test_that_wait_for_their_client_hold_up_nobody_for_long(
        self, share_attacked: StartServer, watch: Watch
    ) -> None:
        server = share_attacked(
            settings={"SOCKETIO_MAX_DECODED_TOTAL": 5_000_000, "SOCKETIO_STALL_TIMEOUT": 1.0}
        )
        with watch(server, "accounts", "handlers that wait for their client", most=MOST):
            clients = crowd(server, 3)
            for client in clients[:2]:
                client.send_text(f'42["question",{fill("[]", 90_000)}]')
            wait_until(lambda: look(server, "stats")["decoded_bytes"] > 0, "some to be decoded")
            assert ask(clients[2], '["echo","' + "x" * 50_000 + '"]').startswith('["xxx')
            for client in clients:
                client.cut()

    def test_of_clients_that_have_gone_hold_up_nobody_for_long(
        self, share_attacked: StartServer, watch: Watch
    ) -> None:
        """One after another, they would take a minute."""
        server = share_attacked(
            settings={"SOCKETIO_MAX_DECODED_TOTAL": 5_000_000, "SOCKETIO_STALL_TIMEOUT": 1.0}
        )
        with watch(server, "accounts", "handlers of clients that have gone", inputs=60, most=MOST):
            clients, other = crowd(server, 20), join(server)
            event = frame(TEXT, f'42["keep",1.0,{fill("[]", 90_000)}]')
            send_all(clients, event * 3)
            wait_until(lambda: look(server, "stats")["decoded_bytes"] > 0, "some to be decoded")
            for client in clients:
                client.cut()
            began = monotonic()
            assert ask(other, f'["echo",{fill("[]", 90_000)}]').startswith("[[[]")
            assert monotonic() - began < 30
            other.cut()

    def test_that_wait_for_their_client_hold_up_no_smaller_packet(
        self, server: Server, watch: Watch
    ) -> None:
        """Each of these packets takes nearly all of the room, and none of them is answered."""
        name = "large packets of handlers that wait"
        with watch(server, "accounts", name, inputs=20, most=MOST, patience=90):
            clients, other = crowd(server, 20), join(server)
            send_all(clients, frame(TEXT, f'42["question",{WORST["empty arrays"]}]'))
            wait_until(lambda: look(server, "stats")["decoded_bytes"] > 0, "one to be decoded")
            for size in (3_000, 30_000, 300_000):
                began = monotonic()
                assert ask(other, f'["echo","{"x" * size}"]') == f'["{"x" * size}"]'
                assert monotonic() - began < MAX_ANSWER
            assert look(server, "stats")["decoded_bytes"] <= 48 * MIB
            for client in (*clients, other):
                client.cut()


class TestEverythingAtOnce:
    def test_is_bounded_together(self, share_attacked: StartServer, watch: Watch) -> None:
        """Answers that nobody reads, packets that wait, and those that handlers keep."""
        server = share_attacked(
            settings={
                "SOCKETIO_STALL_TIMEOUT": 600.0,
                "SOCKETIO_PING_INTERVAL": 2.0,  # shows who has gone
                "SOCKETIO_PING_TIMEOUT": 40.0,
            }
        )
        with watch(server, "accounts", "everything at once", inputs=90, most=MOST, patience=90):
            silent = crowd(server, 24, receive_buffer=4096)
            send_all(silent, plain(f'421["echo",{fill("1e15")}]'))
            wait_until(
                lambda: look(server, "stats")["queued_bytes"] > 30_000_000,
                "answers to wait",
                timeout=90,
            )
            clients = crowd(server, 30)
            for client in clients:
                client.send_text('42["question"]')  # its handler waits for the answer
            send_all(clients, plain(f'42["unknown",{WORST["empty arrays"]}]') * 2)
            keeper = join(server)
            keeper.send_text(f'42["keep",1.0,{WORST["empty arrays"]}]')
            wait_until(lambda: look(server, "stats")["decoded_bytes"] > 40 * MIB, "one to be kept")
            stats = look(server, "stats")
            assert stats["queued_bytes"] + stats["waiting_bytes"] + 24 * MIB <= 80_000_000
            assert stats["queued_bytes"] > 10_000_000
            assert stats["waiting_bytes"] > 10_000_000
            for client in (*silent, *clients, keeper):
                client.cut()


class TestJoiningAndLeaving:
    def test_in_a_loop_makes_one_socket(self, server: Server, watch: Watch) -> None:
        """Each made a socket and kept a handler busy."""
        with watch(server, "accounts", "joining and leaving", inputs=2 * 15_000, most=MOST):
            sockets = look(server, "stats")["sockets"]
            before = look(server, "census")["tally"].get("slow", 0)
            websocket = join(server)
            loop = frame(TEXT, "40/slow,") + frame(TEXT, "41/slow,")
            send_all([websocket], loop * 15_000)
            assert ask(websocket, '["echo",1]') == "[1]"
            assert look(server, "stats")["sockets"] <= sockets + 2
            assert look(server, "census")["tally"]["slow"] <= before + 5
            websocket.close()

    def test_without_leaving_makes_one_socket(self, server: Server, watch: Watch) -> None:
        """Who asks again before the answer has left."""
        with watch(server, "accounts", "joining again", inputs=15_000, most=MOST):
            before = look(server, "census")["tally"].get("slow", 0)
            websocket = join(server)
            sockets = look(server, "stats")["sockets"]
            send_all([websocket], frame(TEXT, "40/slow,") * 15_000)
            assert ask(websocket, '["echo",1]') == "[1]"
            assert look(server, "stats")["sockets"] <= sockets + 2
            assert look(server, "census")["tally"]["slow"] <= before + 5
            websocket.close()

    def test_in_one_payload_makes_one_socket(self, server: Server, watch: Watch) -> None:
        with watch(server, "accounts", "joining and leaving: POST", inputs=2 * 15_000, most=MOST):
            before = look(server, "census")["tally"].get("slow", 0)
            session = join_over_polling(server)
            session.send(*["40/slow,", "41/slow,"] * 15_000, '421["echo",1]')
            while "431[1]" not in session.receive():
                pass
            assert look(server, "census")["tally"]["slow"] <= before + 5
            session.close()


class TestBelowWhatIsCounted:
    """What is small is counted neither for the client nor for the process: it must not be much of
    very many clients together."""

    COUNT = 500

    def test_events_and_parts_of_messages(self, server: Server, watch: Watch) -> None:
        event = frame(TEXT, f'42["unknown","{"x" * 16_000}"]')
        part = frame(TEXT, f'42["unknown","{"x" * 16_000}', fin=False)
        with watch(server, "accounts", "just not counted: bytes", inputs=self.COUNT, most=MOST):
            clients = crowd(server, self.COUNT)
            before = look(server, "stats")["messages_in"]
            for client in clients:
                client.send(frame(TEXT, '42["wait",1]') + event + part)
            wait_until(
                lambda: look(server, "stats")["messages_in"] >= before + 2 * self.COUNT,
                "all to be read",
            )
            for client in clients:
                client.cut()

    def test_packets_once_they_are_decoded(self, server: Server, watch: Watch) -> None:
        event = plain(f'42["keep",1,{fill("[]", 650)}]')
        with watch(server, "accounts", "just not counted: decoded", inputs=self.COUNT, most=MOST):
            clients = crowd(server, self.COUNT)
            for client in clients:
                client.send(event)
            for client in clients:
                assert ask(client, '["echo",1]') == "[1]"  # once the first handler has ended
                client.cut()


class TestAfterAMemoryError:
    def test_the_server_goes_on_and_counts_nobody_for_ever(
        self, share_attacked: StartServer, watch: Watch
    ) -> None:
        """There is no room for what a packet takes once it is decoded."""
        server = share_attacked(settings={"SOCKETIO_CLOSE_TIMEOUT": 1.5})
        with watch(server, "accounts", "no memory", inputs=3, raises=True):
            for _ in range(3):
                client = join(server)
                with limited_space(server.pid, 20 * MIB):
                    client.send_text(f'421["echo",{WORST["deep arrays"]}]')
                    assert close_code(client) == 1007
            other = join(server)
            assert ask(other, '["echo",1]') == "[1]"
            other.close()


class TestWhatIsKept:
    def test_a_large_auth_is_refused(self, server: Server, watch: Watch) -> None:
        with watch(server, "accounts", "auth", inputs=20, most=MOST):
            for _ in range(20):
                websocket = join(server)
                websocket.send_text('40/slow,{"token":' + WORST["empty arrays"] + "}")
                assert websocket.receive_text().startswith('44/slow,{"message":"Auth is too large"')
                websocket.close()

    def test_much_auth_of_some_ends_no_others(self, server: Server, watch: Watch) -> None:
        """It is kept until the last handlers have run, also of those that were closed for it."""
        auth = '{"list":[' + "{}," * 5440 + "0]}"
        with watch(server, "accounts", "auth of all", inputs=80, most=MOST):
            before = look(server, "stats")["refusals"].get("pending", 0)
            honest, text = crowd(server, 10), "x" * 30_000
            for client in honest:
                client.send(frame(TEXT, f'421["echo","{text}', fin=False))
            wait_until(lambda: waiting_bytes(server) > 10 * len(text), "all parts to arrive")
            for _ in range(80):
                OPEN.append(
                    WebSocket(server.address, target("websocket"), behind=frame(TEXT, f"40{auth}"))
                )
            wait_until(
                lambda: look(server, "stats")["refusals"].get("pending", 0) > before, "some to go"
            )
            for client in honest:
                client.send(frame(0, '"]'))
                assert client.receive_text() == f'431["{text}"]'
            close_all()

    def test_auth_of_who_is_closed_as_it_joins_again_counts_no_more(
        self, share_attacked: StartServer, watch: Watch
    ) -> None:
        """The last socket has yet to end, and already what asks for the next one is too much."""
        server = share_attacked(settings={"SOCKETIO_MAX_PENDING_TOTAL": 500_000})
        packets = [
            '42["wait",1]',
            "40/slow,",
            "41/slow,",
            waiting(490_000),  # counts the client
            waiting(LADEN - 50),  # not yet again, but whatever comes next does
            '40/slow,{"list":[' + "[]," * 2000 + "0]}",
        ]
        with watch(server, "accounts", "joining again at the bound", inputs=1, most=MOST):
            client = join(server)
            client.send(b"".join(frame(TEXT, packet) for packet in packets))
            client.wait_for_close()
            assert look(server, "stats")["refusals"]["pending"] == 1

    @pytest.mark.parametrize("compresses", [False, True], ids=["plain", "deflated"])
    def test_packets_whose_attachments_never_come_are_text_and_end(
        self, share_attacked: StartServer, watch: Watch, compresses: bool
    ) -> None:
        server = share_attacked(
            settings={
                "SOCKETIO_ATTACHMENT_TIMEOUT": 2.0,
                "SOCKETIO_PER_MESSAGE_DEFLATE": compresses,
            }
        )
        encode = deflated if compresses else plain
        heads = ('451-["echo",', "461-1[")
        packets = [encode(f"{head}{WORST['empty arrays']}]") for head in heads]
        name = f"attachments that never come{', deflated' if compresses else ''}"
        with watch(server, "accounts", name, inputs=40, most=MOST):
            clients = [join(server, headers=OFFER if compresses else {}) for _ in range(40)]
            send_each(clients, packets * 20)
            for client in clients:
                assert close_code(client) == 1007

    @pytest.mark.parametrize("kind", ["long numbers", "an emoji in each piece of text"])
    def test_messages_without_an_end_are_bounded_for_the_whole_process(
        self, wire: Wire, watch: Watch, kind: str
    ) -> None:
        server, encode, headers = wire
        name = f"messages without an end: {kind}{', deflated' if headers else ''}"
        with watch(server, "accounts", name, inputs=150, most=MOST):
            whole = encode("4" + WORST[kind])
            part = bytes([whole[0] & 0x7F]) + whole[1:] if headers else whole[:-1]
            before = look(server, "stats")["refusals"].get("pending", 0)
            clients = [join(server, headers=headers) for _ in range(150)]
            send_all(clients, part)
            wait_until(
                lambda: look(server, "stats")["refusals"].get("pending", 0) >= before + 50,
                "some to go",
            )
            assert waiting_bytes(server) <= 64 * MIB
            for client in clients:
                client.cut()

    def test_messages_without_an_end_are_so_with_a_ping_in_their_middle(
        self, server: Server, watch: Watch
    ) -> None:
        """It may come between two fragments (RFC 6455 section 5.4)."""
        part = frame(TEXT, f'42["unknown","{"x" * 980_000}', fin=False)
        name = "messages without an end, with a ping"
        with watch(server, "accounts", name, inputs=150, most=96 * MIB):
            before = look(server, "stats")["refusals"].get("pending", 0)
            honest = join(server)
            honest.send(frame(TEXT, f'421["echo","{"x" * 50_000}', fin=False))
            clients = crowd(server, 150)
            for client in clients:
                send_each([client], [part + frame(PING)], answers=1)
            assert look(server, "stats")["refusals"].get("pending", 0) >= before + 50
            assert waiting_bytes(server) <= 64 * MIB
            honest.send(frame(CONTINUATION, '"]'))
            assert honest.receive_text() == f'431["{"x" * 50_000}"]'
            for client in (*clients, honest):
                client.cut()

    def test_messages_held_back_while_a_handler_decides_are_bounded(
        self, server: Server, watch: Watch
    ) -> None:
        """20 subscribers would get 15 MB each."""
        with watch(server, "accounts", "messages held back", inputs=20 * 15, most=MOST):
            clients, speaker = crowd(server, 20), join(server)
            for number, client in enumerate(clients):
                client.send_text(f'42["__subscribe__","slow-{number}"]')
            wait_until(lambda: look(server, "stats")["channels"] >= 20, "all to subscribe")
            for number in range(20):
                event = f'["flood","slow-{number}",0,15,1000000]'
                speaker.send_text(f"42{event}")
                assert look(server, "stats")["queued_bytes"] <= 81_000_000
            for client in (*clients, speaker):
                client.cut()

    def test_what_a_gone_client_sent_is_freed(self, server: Server, watch: Watch) -> None:
        with watch(server, "accounts", "rounds of clients", inputs=4 * 20, most=MOST):
            for _ in range(4):
                clients = crowd(server, 20)
                send_all(clients, frame(TEXT, f'42["unknown",{WORST["empty arrays"]}]'))
                for client in clients:
                    client.cut()
                wait_until(lambda: waiting_bytes(server) == 0, "all of it to be gone")

    def test_a_session_that_only_polls_may_send_as_much(self, server: Server, watch: Watch) -> None:
        with watch(server, "accounts", "payloads that wait", inputs=10, most=MOST):
            sessions = [join_over_polling(server) for _ in range(10)]
            for session in sessions:
                session.send('42["wait",2]')
                session.send_later('42["unknown",' + fill("[]", 900_000) + "]")
            for session in sessions:
                with suppress(Refused):
                    session.wait_for_ok()
                session.close()
