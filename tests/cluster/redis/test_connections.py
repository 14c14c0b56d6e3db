"""Connections to Redis: what they send, and what they read."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import gevent
import pytest
from gevent import monkey
from gevent.socket import socketpair
from redis import ConnectionError, ConnectionPool, ResponseError

from socketio_server.cluster.redis import connections as connections_module
from socketio_server.cluster.redis.connections import (
    MAX_REPLY,
    RedisConnection,
    connector,
    pack,
    pack_publish,
)
from socketio_server.cluster.redis.pools import FAULTS
from tests.fakes.hub import settle
from tests.support.tools import PATIENCE

stand_still = monkey.get_original("time", "sleep")
"""Keeps the loop from running, as a handler does that computes."""


@pytest.fixture
def pair() -> Iterator[tuple[Any, Any]]:
    """A connection's socket, and Redis's end."""
    ours, redis = socketpair()
    with ours, redis:
        yield ours, redis


@pytest.fixture
def connect(
    pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., RedisConnection]:
    """Returns a connection with a time limit."""

    class Connection:
        """redis-py's, connected to the test."""

        _sock = pair[0]

        def connect(self) -> None:
            """It is connected."""

        def disconnect(self) -> None:
            self._sock.close()

    monkeypatch.setattr(ConnectionPool, "make_connection", lambda pool: Connection())

    def connect(timeout: float = PATIENCE, max_reply: int = 0) -> RedisConnection:
        connection = connector("redis://localhost", timeout, max_reply)()
        connection.connect()
        return connection

    return connect


@pytest.fixture
def connection(connect: Callable[..., RedisConnection]) -> RedisConnection:
    return connect()


class TestConnections:
    @pytest.mark.parametrize("url", ["redis://localhost", "redis+sentinel://localhost/main"])
    def test_may_be_as_many_one_after_the_other_as_redis_is_lost(self, url: str) -> None:
        connect = connector(url, 5.0)
        assert len({id(connection) for connection in [connect() for _ in range(200)]}) == 200

    def test_end_with_the_process_although_one_that_it_has_forked_goes_on(
        self, connection: RedisConnection, pair: tuple[Any, Any]
    ) -> None:
        ours, redis = pair
        parents = ours.dup()
        connection.leave_to_parent()
        redis.sendall(b"still there")
        assert parents.recv(100) == b"still there"
        parents.close()
        assert redis.recv(1) == b""

    def test_that_are_not_made_yet_have_nothing_to_let_go_of(self) -> None:
        connector("redis://localhost", 5.0)().leave_to_parent()


class TestReceiving:
    def test_returns_all_replies_that_have_arrived(
        self, connection: RedisConnection, pair: tuple[Any, Any]
    ) -> None:
        pair[1].sendall(b":1\r\n$-1\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n+OK\r\n")
        assert connection.receive() == [1, None, [b"pong", b""], b"OK"]

    def test_does_not_end_because_this_process_stood_still(
        self, connect: Callable[..., RedisConnection], pair: tuple[Any, Any]
    ) -> None:
        """Redis was not silent: nobody could hear it."""
        connection = connect(timeout=2.0)
        replies = gevent.spawn(connection.receive)
        gevent.idle()
        stand_still(3.0)
        gevent.idle()
        assert not replies.ready()
        pair[1].sendall(b":1\r\n")
        assert replies.get(timeout=PATIENCE) == [1]

    def test_takes_what_came_while_this_process_stood_still(
        self, connect: Callable[..., RedisConnection], pair: tuple[Any, Any]
    ) -> None:
        connection = connect(timeout=1.0)
        replies = gevent.spawn(connection.receive)
        gevent.idle()
        pair[1].sendall(b":1\r\n")
        stand_still(2.0)
        assert replies.get(timeout=PATIENCE) == [1]

    def test_waits_for_the_rest_of_a_reply(
        self, connection: RedisConnection, pair: tuple[Any, Any]
    ) -> None:
        pair[1].sendall(b":1\r\n$5\r\nab")
        assert connection.receive() == [1]

        receiving = gevent.spawn(connection.receive)
        gevent.idle()
        pair[1].sendall(b"cde\r\n")
        assert receiving.get() == [b"abcde"]

    def test_a_refusal_is_a_reply_like_others(
        self, connection: RedisConnection, pair: tuple[Any, Any]
    ) -> None:
        pair[1].sendall(b"-NOPERM no\r\n:1\r\n")
        refusal, reply = connection.receive()
        assert isinstance(refusal, ResponseError)
        assert (str(refusal), reply) == ("NOPERM no", 1)

    @pytest.mark.parametrize("bytes_before", [b"", b"$5\r\nab"])
    def test_raises_when_redis_closes(
        self, connection: RedisConnection, pair: tuple[Any, Any], bytes_before: bytes
    ) -> None:
        pair[1].sendall(bytes_before)
        pair[1].close()
        with pytest.raises(ConnectionError, match="closed the connection"):
            connection.receive()

    def test_raises_when_nothing_comes(self, connect: Callable[..., RedisConnection]) -> None:
        with pytest.raises(TimeoutError):
            connect(0.01).receive()

    @pytest.mark.parametrize("is_encrypted", [False, True])
    def test_raises_when_what_comes_never_makes_a_reply(
        self,
        connect: Callable[..., RedisConnection],
        pair: tuple[Any, Any],
        monkeypatch: pytest.MonkeyPatch,
        *,
        is_encrypted: bool,
    ) -> None:
        if is_encrypted:  # then the socket has no watcher
            monkeypatch.setattr(connections_module, "SSLSocket", type(pair[0]))
        receiving = gevent.spawn(connect(0.1).receive)
        pair[1].sendall(b"*1000000\r\n")
        while not receiving.ready():
            pair[1].sendall(b":1\r\n")
            gevent.sleep(0.01)
        assert isinstance(receiving.exception, TimeoutError)

    def test_gives_a_long_reply_more_time(
        self,
        connect: Callable[..., RedisConnection],
        pair: tuple[Any, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(connections_module, "BYTES_PER_TICK", 1)
        receiving = gevent.spawn(connect(0.05).receive)
        pair[1].sendall(b"$2000\r\n" + bytes(1000))
        receiving.join(0.2)
        assert not receiving.ready()

        pair[1].sendall(bytes(1000) + b"\r\n")
        assert receiving.get(timeout=PATIENCE) == [bytes(2000)]

    def test_raises_when_a_reply_is_too_long(
        self, connect: Callable[..., RedisConnection], pair: tuple[Any, Any]
    ) -> None:
        connection = connect(max_reply=MAX_REPLY + 1_000_000)
        receiving = gevent.spawn(connection.receive)
        part = b"x" * 1_000_000
        pair[1].sendall(b"$400000000\r\n")
        for _ in range(MAX_REPLY // len(part)):
            pair[1].sendall(part)
        settle()
        assert not receiving.ready()

        with suppress(OSError):  # it may be closed before all is sent
            pair[1].sendall(part)
        receiving.join(PATIENCE)
        assert "a reply of more than 65000000 bytes" in str(receiving.exception)

    def test_raises_what_is_no_reply(
        self, connection: RedisConnection, pair: tuple[Any, Any]
    ) -> None:
        pair[1].sendall(b"HTTP/1.1 200 OK\r\n")
        with pytest.raises(FAULTS):
            connection.receive()

    def test_ends_when_another_greenlet_disconnects(self, connection: RedisConnection) -> None:
        receiving = gevent.spawn(connection.receive)
        gevent.idle()
        connection.disconnect()
        receiving.join()
        assert isinstance(receiving.exception, FAULTS)


class TestSending:
    def test_sends_all_of_it(self, connection: RedisConnection, pair: tuple[Any, Any]) -> None:
        data = bytes(range(256)) * 10_000  # more than the kernel accepts at once
        found = bytearray()
        sending = gevent.spawn(connection.send, data)
        while len(found) < len(data):
            found += pair[1].recv(100_000)
        sending.get()
        assert found == data

    def test_raises_when_redis_reads_nothing(
        self, connection: RedisConnection, pair: tuple[Any, Any]
    ) -> None:
        pair[0].settimeout(0.01)
        with pytest.raises(TimeoutError):
            connection.send(bytes(10_000_000))


class TestPack:
    def test_writes_an_array_of_bulk_strings(self) -> None:
        assert pack(b"PUBLISH", b"a", b"") == b"*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$0\r\n\r\n"

    def test_what_is_published_looks_the_same(self) -> None:
        assert pack_publish(b"a", b"message") == pack(b"PUBLISH", b"a", b"message")
