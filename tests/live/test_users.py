"""Users and sessions of two processes that share a database."""

from typing import Any

import pytest

from tests.support.http import Http
from tests.support.postgresql import PostgreSQL
from tests.support.redis import RedisServer
from tests.support.server import Server
from tests.support.types import Connect, StartServer
from tests.support.views import log_in

ROUNDS = 10
"""Changes of one session by each of those who change it at the same time."""


@pytest.fixture(scope="module")
def in_postgresql(postgresql: PostgreSQL, migrated: str) -> dict[str, Any]:
    """Settings of servers with a database of PostgreSQL."""
    return postgresql.settings(postgresql.create(migrated), CONN_MAX_AGE=60)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def servers(
    redis: RedisServer, share_server: StartServer, request: pytest.FixtureRequest
) -> tuple[Server, Server]:
    """Two servers of one cluster, which share a database."""
    settings = {
        "SOCKETIO_BROKER_URL": redis.url,
        "SOCKETIO_BROKER_PREFIX": request.param,
        "SOCKETIO_EVENTS": ["tests.project.handlers.users"],
        "SOCKETIO_REFRESH_INTERVAL": 0,
    }
    environment: dict[str, str] = {}
    if request.param == "postgresql":
        settings |= request.getfixturevalue("in_postgresql")
    else:
        environment = request.getfixturevalue("database")
    one, two = (
        share_server(
            settings=settings,
            environment={**environment, "TEST_PURPOSE": f"users {request.param} {name}"},
        )
        for name in ("one", "two")
    )
    return one, two


class TestMessagesToAUser:
    def test_reach_all_clients_of_the_user_in_all_processes(
        self, servers: tuple[Server, Server], connect: Connect
    ) -> None:
        ann = log_in(servers[0], "ann", colour="red")
        near, far = (connect(to=server, headers=ann) for server in servers)
        ben = connect(to=servers[1], headers=log_in(servers[1], "ben", colour="blue"))
        ben.ask("tell", "ann", 1)
        ben.ask("tell", "ben", 2)
        assert near.next_event() == far.next_event() == ["news", 1]
        assert ben.next_event() == ["news", 2]

    def test_reach_a_client_that_asks_for_the_users_room_never(
        self, servers: tuple[Server, Server], connect: Connect
    ) -> None:
        cem = connect(to=servers[0], headers=log_in(servers[0], "cem", colour="red"))
        thief = connect(to=servers[1])
        for key in range(1, 4):
            assert "error" in thief.subscribe(f"~user:auth.user:{key}")
        cem.ask("tell", "cem", "secret")
        assert cem.next_event() == ["news", "secret"]
        assert thief.call("who am I?") == ""
        assert not any("secret" in str(packet) for packet in thief.packets)


class TestUsersOnAChannel:
    def test_are_found_in_all_processes_each_once(
        self, servers: tuple[Server, Server], connect: Connect
    ) -> None:
        dan, eve = (log_in(servers[0], name, colour="red") for name in ("dan", "eve"))
        clients = [
            connect(to=server, headers=headers)
            for server, headers in [(servers[0], dan), (servers[1], dan), (servers[1], eve)]
        ]
        for client in [*clients, connect(to=servers[1])]:
            client.subscribe("room")
        assert clients[0].call("who is on", "room") == ["dan", "eve"]


class TestTheSession:
    def test_keeps_what_handlers_of_two_processes_change_at_the_same_time(
        self, servers: tuple[Server, Server], connect: Connect
    ) -> None:
        fay = log_in(servers[0], "fay", colour="red")
        clients = [connect(to=server, headers=fay) for server in (*servers, *servers)]
        for number in range(ROUNDS):
            asked = [
                client.ask_later("set", f"{index} {number}", number)
                for index, client in enumerate(clients)
            ]
            for client, ack_id in zip(clients, asked, strict=True):
                assert client.answer_to(ack_id) == ["done"]

        keys = [f"{index} {number}" for index in range(len(clients)) for number in range(ROUNDS)]
        assert [clients[0].call("get", key) for key in keys] == [
            number for _ in clients for number in range(ROUNDS)
        ]
        assert clients[0].call("get", "colour") == "red"

    def test_that_a_view_has_ended_makes_the_user_anonymous_and_is_not_brought_back(
        self, servers: tuple[Server, Server], connect: Connect
    ) -> None:
        gil = log_in(servers[0], "gil", colour="red")
        client = connect(to=servers[1], headers=gil)
        assert client.call("who am I?") == "gil"
        with Http(servers[0].address) as http:
            assert http.get("/logout/", gil).text == "goodbye"

        assert client.call("who am I?") == ""
        assert client.call("set", "colour", "blue") == "done"
        assert client.ask("get", "colour") == []
