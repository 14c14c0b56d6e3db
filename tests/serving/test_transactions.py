"""What is sent inside of a database transaction: with the commit, or not at all."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.transaction import TransactionManagementError
from django.test import override_settings
from django.utils.connection import ConnectionDoesNotExist

import socketio_server
from socketio_server import EVERYONE, OTHERS, BrokerUnavailable, NoSocket
from socketio_server.cluster.broker import Envelope
from socketio_server.cluster.memory import MemoryBroker
from socketio_server.options import Options
from socketio_server.protocol import cluster_requests
from socketio_server.serving import current
from socketio_server.serving.transactions import DjangoTransactions
from socketio_server.sockets.this_process import CLIENTS
from tests.fakes.server import FakeClient, FakeServer

pytestmark = pytest.mark.django_db(transaction=True)

MOST = 200
"""The bytes that may wait for one transaction, in tests of the limit."""


@contextmanager
def rolled_back() -> Iterator[None]:
    """A transaction, or a savepoint in one, that is rolled back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server whose clients are the process's own, and whose sockets wait for the commit."""
    server = FakeServer(clients=CLIENTS)
    CLIENTS.transactions = DjangoTransactions(server.options.max_queued_bytes)
    yield server
    CLIENTS.transactions = None
    for recipient in list(CLIENTS.members("/")):
        CLIENTS.discard(recipient)


@pytest.fixture
def client(server: FakeServer) -> FakeClient:
    """A client on a channel."""
    return server.connect(channels=["room"])


@pytest.fixture
def other(server: FakeServer) -> FakeClient:
    """Another client, on the same channel."""
    return server.connect(channels=["room"])


WAYS_TO_SEND: list[Callable[[FakeClient, Any], None]] = [
    lambda client, x: socketio_server.send(client.id, x, on_commit=True),
    lambda client, x: socketio_server.broadcast(x, on_commit=True),
    lambda client, x: socketio_server.broadcast_channel(x, "room", on_commit=True),
    lambda client, x: socketio_server.emit("message", x, on_commit=True),
    lambda client, x: socketio_server.emit("message", x, to="room", on_commit=True),
    lambda client, x: client.socket.send(x),
    lambda client, x: client.socket.send_and_broadcast(x),
    lambda client, x: client.socket.send_and_broadcast_channel(x),
    lambda client, x: client.socket.emit("message", x),
    lambda client, x: client.socket.emit("message", x, to=EVERYONE),
    lambda client, x: client.socket.emit("message", x, to=client.socket.session),
]


@pytest.mark.parametrize("send", WAYS_TO_SEND)
class TestASendInATransaction:
    def test_arrives_when_it_is_committed(
        self, client: FakeClient, send: Callable[[FakeClient, Any], None]
    ) -> None:
        with transaction.atomic():
            send(client, {"text": "hi"})
            assert client.messages() == []
        assert client.messages() == [{"text": "hi"}]

    def test_never_arrives_after_a_rollback(
        self, client: FakeClient, send: Callable[[FakeClient, Any], None]
    ) -> None:
        with rolled_back():
            send(client, "hi")
        with transaction.atomic():
            pass
        assert client.messages() == []

    def test_of_a_savepoint_that_is_rolled_back_never_arrives(
        self, client: FakeClient, send: Callable[[FakeClient, Any], None]
    ) -> None:
        with transaction.atomic():
            with rolled_back():
                send(client, "lost")
            send(client, "kept")
        assert client.messages() == ["kept"]

    def test_is_encoded_at_the_call(
        self, client: FakeClient, send: Callable[[FakeClient, Any], None]
    ) -> None:
        message = {"state": "before", "data": [b"\1"]}
        with transaction.atomic():
            send(client, message)
            message["state"] = "after"
        packet, attachment = client.received()
        assert "before" in packet
        assert attachment == "bAQ=="

    def test_raises_at_the_call_if_it_can_not_be_encoded(
        self, client: FakeClient, send: Callable[[FakeClient, Any], None]
    ) -> None:
        with transaction.atomic():
            with pytest.raises(TypeError):
                send(client, object())
            send(client, "good")
        assert client.messages() == ["good"]

    def test_outside_of_one_is_sent_at_once(
        self, client: FakeClient, send: Callable[[FakeClient, Any], None]
    ) -> None:
        send(client, "hi")
        assert client.messages() == ["hi"]


class TestOthersMessages:
    """``broadcast`` and its siblings, from a socket."""

    @pytest.mark.parametrize(
        "send",
        [
            lambda socket: socket.broadcast("hi"),
            lambda socket: socket.broadcast_channel("hi"),
            lambda socket: socket.emit("message", "hi", to=OTHERS),
        ],
    )
    def test_arrive_with_the_commit(
        self, client: FakeClient, other: FakeClient, send: Callable[[Any], None]
    ) -> None:
        with transaction.atomic():
            send(client.socket)
            assert other.messages() == []
        assert other.messages() == ["hi"]
        assert client.messages() == []

    def test_go_to_those_who_are_there_at_the_commit(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        leaving = server.connect(channels=["room"])
        with transaction.atomic():
            socketio_server.broadcast_channel("hi", "room", on_commit=True)
            client.socket.broadcast_channel("ho")
            leaving.socket.unsubscribe("room")
            late = server.connect(channels=["room"])
        assert late.messages() == ["hi", "ho"]
        assert leaving.messages() == []

    def test_keep_the_order_of_the_calls(self, client: FakeClient) -> None:
        with transaction.atomic():
            for number in range(3):
                client.socket.send(number)
                socketio_server.broadcast(-number, on_commit=True)
        assert client.messages() == [0, 0, 1, -1, 2, -2]


class TestWhatWaitsForNoCommit:
    def test_is_what_is_sent_with_on_commit_false(self, client: FakeClient) -> None:
        with transaction.atomic(), override_settings(SOCKETIO_ON_COMMIT=True):
            socketio_server.broadcast("hi", on_commit=False)
            socketio_server.send(client.id, "ho", on_commit=False)
            assert client.messages() == ["hi", "ho"]

    def test_are_events_with_a_callback(self, client: FakeClient) -> None:
        with transaction.atomic():
            client.socket.emit("ask", callback=print)
            assert any('["ask"]' in packet for packet in client.received())

    def test_are_all_sends_by_default(self, client: FakeClient) -> None:
        with transaction.atomic():
            socketio_server.broadcast("hi")
            assert client.messages() == ["hi"]

    def test_is_what_a_volatile_send_drops(self, client: FakeClient) -> None:
        client.transport.writable = False
        with transaction.atomic():
            client.socket.emit("news", volatile=True)
        assert client.received() == []


class TestTheSetting:
    def test_decides_for_functions_that_are_not_told(self, client: FakeClient) -> None:
        with override_settings(SOCKETIO_ON_COMMIT=True), transaction.atomic():
            socketio_server.broadcast("hi")
            assert client.messages() == []
        assert client.messages() == ["hi"]

    def test_of_a_server_is_that_of_its_start(
        self, client: FakeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(current, "server", SimpleNamespace(options=Options(on_commit=True)))
        with transaction.atomic():
            socketio_server.broadcast("hi")
            assert client.messages() == []
        assert client.messages() == ["hi"]

    def test_on_commit_takes_nothing_else(self) -> None:
        with pytest.raises(
            TypeError, match=r"^on_commit must be True, False or None, not <function"
        ):
            socketio_server.broadcast("hi", on_commit=lambda: None)  # type: ignore[arg-type]


class TestWhereNobodyIsThere:
    @pytest.mark.parametrize(
        ("send", "why"),
        [
            (
                lambda: socketio_server.send("nobody", 1, on_commit=True),
                "There is no socket with the session ID: nobody",
            ),
            (lambda: socketio_server.broadcast(1, on_commit=True), "There are no clients"),
            (
                lambda: socketio_server.broadcast_channel(1, "x", on_commit=True),
                "There are no clients on the channel: x",
            ),
        ],
    )
    def test_that_is_logged_at_the_commit(
        self, send: Callable[[], None], why: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with transaction.atomic():
            send()
            assert caplog.messages == []
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        text = record.getMessage()
        assert text.startswith(f"The event 'message' was not sent after the commit: {why}")

    def test_it_raises_outside_of_a_transaction(self) -> None:
        with pytest.raises(NoSocket):
            socketio_server.broadcast("hi", on_commit=True)

    def test_emit_says_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        with transaction.atomic():
            socketio_server.emit("news", on_commit=True)
        assert caplog.messages == []

    def test_a_socket_that_has_gone_gets_nothing(self, client: FakeClient) -> None:
        socket = client.socket
        with transaction.atomic():
            socket.send("hi")
            client.leave()
        assert client.received() == []


class TestAProcessWithoutAServer:
    """What it sends goes to the broker, which may be lost at the commit."""

    @pytest.fixture(autouse=True)
    def broker(self, monkeypatch: pytest.MonkeyPatch) -> "LostBroker":
        broker = LostBroker(CLIENTS)
        monkeypatch.setattr(CLIENTS, "broker", broker)
        monkeypatch.setattr("socketio_server.serving.outside.connect", lambda: None)
        return broker

    def test_hears_of_it_at_the_end_of_the_transaction(self) -> None:
        block = transaction.atomic()
        block.__enter__()
        socketio_server.broadcast("hi", on_commit=True)
        with pytest.raises(BrokerUnavailable):
            block.__exit__(None, None, None)

    def test_may_have_it_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        with transaction.atomic():
            socketio_server.broadcast("hi", on_commit=True, on_error="log")
            assert caplog.messages == []
        assert caplog.messages == ["The event 'message' was not sent: Redis is lost"]

    def test_hears_at_the_call_of_what_servers_would_refuse(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also at the first one, when nothing has led it to the broker yet."""
        broker, CLIENTS.broker = CLIENTS.broker, MemoryBroker(CLIENTS)
        monkeypatch.setattr(
            "socketio_server.serving.outside.connect", lambda: setattr(CLIENTS, "broker", broker)
        )
        monkeypatch.setattr(cluster_requests, "MAX_DECODED", 100_000)
        with rolled_back(), pytest.raises(ValueError, match="once other processes have decoded it"):
            socketio_server.broadcast([[]] * 20_000, on_commit=True)

    def test_asks_nothing_of_it_after_a_rollback(self, broker: "LostBroker") -> None:
        with rolled_back():
            socketio_server.broadcast("hi", on_commit=True)
        assert broker.asked == 0


class LostBroker(MemoryBroker):
    """A broker that can't be reached (``Broker``)."""

    reaches_others = True
    asked = 0

    def publish(self, envelope: Envelope) -> None:
        self.asked += 1
        raise BrokerUnavailable("Redis is lost")


class TestTheLimit:
    """``SOCKETIO_MAX_QUEUED_BYTES`` for what waits for one transaction."""

    @pytest.fixture(autouse=True)
    def _limit(self, client: FakeClient) -> Iterator[None]:
        CLIENTS.transactions = DjangoTransactions(MOST)
        with override_settings(SOCKETIO_MAX_QUEUED_BYTES=MOST):
            yield

    @pytest.mark.parametrize("send", WAYS_TO_SEND)
    def test_a_send_beyond_it_raises(
        self, client: FakeClient, send: Callable[[FakeClient, Any], None]
    ) -> None:
        with transaction.atomic():
            send(client, "x" * 20)
            with pytest.raises(RuntimeError, match=rf"{MOST} \(SOCKETIO_MAX_QUEUED_BYTES\)"):
                send(client, "x" * MOST)
        assert client.messages() == ["x" * 20]

    def test_it_is_that_of_sockets_and_functions_together(self, client: FakeClient) -> None:
        with transaction.atomic():
            client.socket.send("x" * (MOST // 2))
            with pytest.raises(RuntimeError):
                socketio_server.broadcast("x" * (MOST // 2), on_commit=True)

    def test_it_begins_anew_after_a_commit(self, client: FakeClient) -> None:
        for _ in range(3):
            with transaction.atomic():
                client.socket.send("x" * (MOST // 2))
        assert len(client.messages()) == 3

    def test_it_begins_anew_after_a_rollback(self, client: FakeClient) -> None:
        for _ in range(3):
            with rolled_back():
                client.socket.send("x" * (MOST // 2))

    def test_what_a_savepoint_rolled_back_counts_no_more(self, client: FakeClient) -> None:
        with transaction.atomic():
            for _ in range(3):
                with rolled_back():
                    client.socket.send("x" * (MOST // 2))
            transaction.on_commit(lambda: None)  # of somebody else
            client.socket.send("x" * (MOST // 2))
            with pytest.raises(RuntimeError):
                client.socket.send("x" * (MOST // 2))


class TestUsing:
    """As in ``transaction.on_commit``: the alias of the database."""

    def test_a_database_that_there_is_not_is_an_error(self) -> None:
        with pytest.raises(ConnectionDoesNotExist):
            socketio_server.broadcast("hi", on_commit=True, using="nowhere")

    def test_the_transaction_of_another_database_is_no_reason_to_wait(
        self, client: FakeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(connections.settings, "other", connections.settings["default"])
        with transaction.atomic():
            socketio_server.broadcast("hi", on_commit=True, using="other")
            assert client.messages() == ["hi"]
            socketio_server.broadcast("ho", on_commit=True, using="default")
            assert client.messages() == []
        assert client.messages() == ["ho"]

    def test_no_connection_is_made_to_find_out(
        self, client: FakeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(connections.settings, "other", connections.settings["default"])
        socketio_server.broadcast("hi", on_commit=True, using="other")
        assert [each.alias for each in connections.all(initialized_only=True)] == ["default"]

    def test_a_transaction_that_django_does_not_manage_is_an_error(self) -> None:
        transaction.set_autocommit(False)
        try:
            with pytest.raises(TransactionManagementError):
                socketio_server.broadcast("hi", on_commit=True)
        finally:
            transaction.set_autocommit(True)
