"""What a broker's URL means."""

import re
from typing import Any

import pytest
from redis import ConnectionError

from socketio_server.cluster.redis import pools
from socketio_server.cluster.redis.pools import connection_pool, describe, masked
from tests.support.redis import RedisServer
from tests.support.tools import free_port


class TestConnectionPool:
    @pytest.mark.parametrize(
        "url",
        [
            "redis://localhost",
            "redis://user:secret@localhost:6380/1",
            "rediss://localhost",
            "unix:///run/redis.sock?db=1",
            "redis+sentinel://one,two:26380/main/1",
            "redis+sentinel://user:secret@one/main",
        ],
    )
    def test_makes_connections_of_all_kinds(self, url: str) -> None:
        assert connection_pool(url, 5.0).make_connection() is not None

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("redis://localhost:port", "its port is no number"),
            ("redis://:pa/ss@localhost", "in a password, write / as %2F"),
            ("redis://ann:12/ss@localhost", "it has an @ behind the host: in a password, write / "),
            ("redis://ann:12#ss@localhost", "it has an @ behind the host: in a password, write / "),
            ("redis+sentinel://ann:12/ss@one/main", "it has an @ behind the host"),
            ("redis://localhost/zero", "its database must be a number, not 'zero'"),
            ("rediss://localhost/-1", "its database must be a number, not '-1'"),
            ("redis://localhost?protocol=3", "its protocol must be 2"),
            (
                "redis://localhost?nonsense=1",
                "redis-py knows no option 'nonsense'. It knows client_name, db,",
            ),
            (
                "redis://localhost?socket_conect_timeout=1",
                "knows no option 'socket_conect_timeout': did you mean 'socket_connect_timeout'? ",
            ),
            ("redis://localhost?ssl_ca_certs=/a", "its option 'ssl_ca_certs' takes TLS, as rediss"),
            ("redis://one,two", "it names several servers, and Redis Cluster and shards are not"),
            ("redis+sentinel://one", "it names no service: redis+sentinel://one/service/0"),
            ("redis+sentinel://one/", "it names no service"),
            ("redis+sentinel://u:secret@one//1", "service: redis+sentinel://one/service/0"),
            ("redis+sentinel://one/main/zero", "its database must be a number, not 'zero'"),
            ("redis+sentinel://one:port/main", "Port could not be cast"),
            ("redis+sentinel://one/main?protocol=3", "its protocol must be 2"),
            ("redis+sentinel://one/main?nonsense=1", "redis-py knows no option 'nonsense'"),
            (
                "redis+sentinel://one/main?sentinel_nonsense=1",
                "redis-py knows no option 'sentinel_nonsense'",
            ),
            ("redis+sentinel://one/main?sentinel_socket_timeout=x", "Invalid value for"),
        ],
    )
    def test_refuses_what_can_not_be_understood_and_says_why(self, url: str, why: str) -> None:
        with pytest.raises(ValueError, match=re.escape(why)):
            connection_pool(url, 5.0)

    def test_lets_the_url_say_how_long_to_wait_for_a_connection(self) -> None:
        for url, seconds in (("redis://one", 2.0), ("redis://one?socket_connect_timeout=7", 7.0)):
            options = connection_pool(url, 5.0).connection_kwargs
            assert (options["socket_connect_timeout"], options["socket_timeout"]) == (seconds, 5.0)


class TestSentinels:
    """Options that begin with ``sentinel_`` are for them, and those of TLS for all."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """The Sentinels that are asked for the master: their addresses and options."""
        asked: list[Any] = []

        class Silent:
            def __init__(self, host: str = "", port: int = 0, **options: Any) -> None:
                if host:
                    asked.append((host, port, options))
                    raise ConnectionError("silent")

        monkeypatch.setattr(pools, "Redis", Silent)
        return asked

    def ask(self, url: str) -> dict[str, Any]:
        """Ask for the master in vain; return the options for connections to it."""
        pool = connection_pool(url, 5.0)
        connection: Any = pool.make_connection()
        with pytest.raises(ConnectionError):
            connection.connect()
        return {**pool.connection_kwargs, "class": pool.connection_class.__name__}

    def test_have_their_own_password_and_time_limits(self, asked: list[Any]) -> None:
        options = self.ask(
            "redis+sentinel://user:s%40cret@one,two:1/main/2?socket_connect_timeout=7"
            "&sentinel_password=p%26&sentinel_socket_timeout=3"
        )
        assert [(host, port) for host, port, _ in asked] == [("one", 26379), ("two", 1)]
        of_sentinels = asked[0][2]
        assert of_sentinels["password"] == "p&"
        assert (of_sentinels["socket_timeout"], of_sentinels["socket_connect_timeout"]) == (3, 2)
        assert "username" not in of_sentinels
        assert (options["username"], options["password"]) == ("user", "s@cret")
        assert (options["db"], options["socket_connect_timeout"]) == (2, 7)
        assert options["class"] == "SentinelManagedConnection"

    def test_speak_tls_as_the_master_does(self, asked: list[Any]) -> None:
        options = self.ask("rediss+sentinel://one/main?ssl_ca_certs=ca.pem")
        assert asked[0][2]["ssl"] is True
        assert asked[0][2]["ssl_ca_certs"] == options["ssl_ca_certs"] == "ca.pem"
        assert options["class"] == "SentinelManagedSSLConnection"

    def test_that_do_not_answer_are_named_with_the_reason(self, asked: list[Any]) -> None:
        pool = connection_pool("redis+sentinel://one,two:1/main", 5.0)
        connection: Any = pool.make_connection()
        why = "no Sentinel names the master of 'main' (one:26379: silent; two:1: silent)"
        with pytest.raises(ConnectionError, match=re.escape(why)):
            connection.connect()

    def test_may_name_a_server_that_is_no_master_any_more(
        self, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        address = "127.0.0.1", own_redis.port
        monkeypatch.setattr(pools._Sentinels, "discover_master", lambda *args: address)
        connection: Any = connection_pool("redis+sentinel://one/main", 5.0).make_connection()
        connection.connect()
        connection.disconnect()
        own_redis.client.replicaof("127.0.0.1", str(free_port()))
        with pytest.raises(ConnectionError, match=f"127.0.0.1:{own_redis.port} is no master any"):
            connection.connect()


class TestDescribe:
    def test_names_no_secrets(self) -> None:
        assert describe("redis://user:secret@one:6380/1?password=s") == "redis://one:6380/1"


class TestMasked:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("redis://one:6380/1", "redis://one:6380/1"),
            ("redis://secret@one/0", "redis://***@one/0"),
            ("redis+sentinel://secret@one,two/main", "redis+sentinel://***@one,two/main"),
            ("redis://user:secret@one/0", "redis://user:***@one/0"),
            ("rediss://:s@cret@one/0#x", "rediss://:***@one/0"),
            ("unix:///run/redis.sock?db=1&password=s", "unix:///run/redis.sock?db=1&password=***"),
            (
                "redis+sentinel://u:p@one,two:1/main?sentinel_p%61ssword=s",
                "redis+sentinel://u:***@one,two:1/main?sentinel_password=***",
            ),
        ],
    )
    def test_shows_all_but_the_passwords(self, url: str, expected: str) -> None:
        assert masked(url) == expected
