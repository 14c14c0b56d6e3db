"""What the requests of one session make the server hold, over many connections or one."""

import json
from contextlib import suppress
from threading import Thread

import pytest

from tests.faults.crowd import close_all, connect, join_over_polling
from tests.faults.watch import MIB, MOST, Watch, look, waiting_bytes
from tests.faults.worst import LARGE
from tests.support.http import Http
from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.websocket import BINARY, TEXT, WebSocket, frame
from tests.support.wire import target

pytestmark = pytest.mark.timeout(180)


class TestOneSessionOverManyConnections:
    """An address may have a hundred."""

    @pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS"])
    def test_has_no_more_than_one_body_under_way(
        self, server: Server, watch: Watch, method: str
    ) -> None:
        """Others are not wanted, and not kept."""
        size = {"Content-Length": "1000000"}
        name = f"bodies without an end of one session: {method}"
        with watch(server, "connections", name, inputs=60, most=24 * MIB):
            session = join_over_polling(server)
            for _ in range(60):
                with suppress(ConnectionError):  # it was refused
                    connection = connect(server)
                    connection.send_request(method, session.target, headers=size)
                    connection.send(b"4".ljust(999_999, b"x"))
            if method == "POST":
                assert waiting_bytes(server) == 0  # the second one has ended the session
            close_all()
            session.close()

    def test_leaves_nothing_of_a_body_behind(self, server: Server, watch: Watch) -> None:
        with watch(server, "connections", "bodies of sessions that end", inputs=20, most=MOST):
            sessions = [join_over_polling(server) for _ in range(20)]
            for session in sessions:
                body = b"4".ljust(999_999, b"x")
                connect(server).begin_post(session.target, body, size=1_000_000)
            wait_until(lambda: waiting_bytes(server) >= 20 * 999_999, "all of it to arrive")
            for session in sessions:
                assert session.post("1").status == 400
            assert waiting_bytes(server) == 0
            close_all()

    def test_has_no_more_than_one_answer_to_read(self, server: Server, watch: Watch) -> None:
        """Nobody asks for the next before the first is read."""
        packet = f'421["echo","{"x" * LARGE}"]'
        name = "answers of one session that nobody reads"
        with watch(server, "connections", name, inputs=60, most=24 * MIB):
            session = join_over_polling(server)
            for number in range(60):
                poll = connect(server, receive_buffer=4096)
                poll.send_request("GET", session.target)
                if number == 0:
                    session.send(packet)
                    wait_until(lambda: look(server, "stats")["queued_bytes"] > LARGE, "the answer")
                else:
                    assert poll.read_response().status == 400
            assert session.post(packet).status == 400
            close_all()

    def test_has_no_messages_behind_the_server_s_close(self, server: Server, watch: Watch) -> None:
        """A session's second WebSocket is closed at once; its client may send until it answers."""
        part = frame(BINARY, b"x" * LARGE)[:-1]
        with watch(server, "connections", "messages behind a close", inputs=60, most=24 * MIB):
            before = look(server, "stats")["refusals"].get("request", 0)
            first = WebSocket(server.address, target("websocket"), behind=frame(TEXT, "40"))
            sid = json.loads(first.receive_text()[1:])["sid"]
            others: list[WebSocket] = []

            def open_second() -> None:
                with suppress(OSError):
                    others.append(
                        WebSocket(server.address, target("websocket", sid=sid), behind=part)
                    )

            threads = [Thread(target=open_second) for _ in range(60)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert look(server, "stats")["refusals"]["request"] == before + 60
            assert waiting_bytes(server) == 0
            assert len(others) > 30  # some may have been cut while they sent
            for client in others:
                with suppress(OSError):
                    client.read_to_the_end()  # it cuts who does not answer its close
                client.cut()
            first.cut()


class TestAnAnswerThatIsLostHalfWay:
    def test_ends_its_session(self, server: Server, watch: Watch) -> None:
        """It could not go on without the messages."""
        packet = f'421["echo","{"x" * LARGE}"]'
        name = "resets in the middle of answers to polls"
        with watch(server, "connections", name, inputs=60, most=24 * MIB):
            others = look(server, "stats")["sockets"]
            for _ in range(60):
                session = join_over_polling(server, receive_buffer=4096)
                session.start_poll()
                session.send(packet)
                wait_until(lambda: look(server, "stats")["queued_bytes"] > 0, "the answer")
                session.reset()
                wait_until(lambda: look(server, "stats")["sockets"] == others, "its end")
                with Http(server.address) as http:
                    assert http.get(session.target).status == 400


class TestRequestsWithoutAPause:
    def test_wait_in_the_kernel(self, server: Server, watch: Watch) -> None:
        """More of them may arrive than are answered between two reads."""
        count = 40_000
        with watch(server, "connections", "requests without a pause", inputs=count, most=8 * MIB):
            session, connection = join_over_polling(server), connect(server)
            request = f"POST {session.target} HTTP/1.1\r\nHost: {connection.host}\r\n"
            data = (request + "Content-Length: 1\r\n\r\n3").encode()
            connection.send(data)
            answer = connection.sock.recv(65_536)
            sender = Thread(target=connection.send, args=[data * (count - 1)])
            sender.start()
            connection.read_exactly(len(answer) * (count - 1))
            sender.join()
            session.close()
