"""What a broker's URL means."""

import pytest

from socketio_server.cluster.redis_connections import connector, describe, pack


class TestConnector:
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
        assert connector(url, 5.0)() is not None

    @pytest.mark.parametrize(
        "url",
        [
            "redis://localhost:port",
            "redis://localhost?protocol=3",
            "redis://localhost?nonsense=1",
            "redis+sentinel://one/main/zero",
        ],
    )
    def test_refuses_what_can_not_be_understood(self, url: str) -> None:
        with pytest.raises(ValueError, match=r"[a-z]"):
            connector(url, 5.0)


class TestDescribe:
    def test_names_no_secrets(self) -> None:
        assert describe("redis://user:secret@one:6380/1?password=s") == "redis://one:6380/1"


class TestPack:
    def test_writes_an_array_of_bulk_strings(self) -> None:
        assert pack(b"PUBLISH", b"a", b"") == b"*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$0\r\n\r\n"
