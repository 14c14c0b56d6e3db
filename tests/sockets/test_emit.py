"""Events of one's own: who gets them, and which arguments make no sense."""

from collections.abc import Callable
from typing import Any

import pytest

from socketio_server.events import EVERYONE, OTHERS, SocketSession
from tests.fakes.server import FakeClient, FakeServer


class TestEmit:
    def test_this_client_gets_the_event(self, server: FakeServer) -> None:
        one, other = server.connect(), server.connect()
        one.socket.emit("news", 1, {"a": [2]})
        one.socket.emit("nothing")

        assert one.received() == ['2["news",1,{"a":[2]}]', '2["nothing"]']
        assert other.received() == []

    @pytest.mark.parametrize(
        ("to", "expected"),
        [
            ("a", [True, True, False]),
            (["a", "b"], [True, True, True]),
            ((), [False, False, False]),
            (EVERYONE, [True, True, True]),
        ],
    )
    def test_those_that_it_is_for_get_the_event_once(
        self, server: FakeServer, to: Any, expected: list[bool]
    ) -> None:
        clients = [server.connect(channels=channels) for channels in (["a"], ["a", "b"], ["b"])]
        clients[0].socket.emit("news", to=to)

        assert [client.received() == ['2["news"]'] for client in clients] == expected

    def test_those_to_skip_do_not_get_the_event(self, server: FakeServer) -> None:
        one, other = server.connect(), server.connect()
        one.socket.emit("news", to=EVERYONE, skip=[one.id])
        one.socket.emit("news", skip=[one.id])

        assert one.received() == []
        assert other.received() == ['2["news"]']

    @pytest.mark.parametrize("skip", [str, SocketSession, lambda one: [SocketSession(one)]])
    def test_one_to_skip_may_be_given_as_its_id_or_its_session(
        self, server: FakeServer, skip: Callable[[str], Any]
    ) -> None:
        one, other = server.connect(channels=["room"]), server.connect(channels=["room"])
        one.socket.emit("news", to="room", skip=skip(one.id))
        one.socket.emit("news", skip=skip(one.id))

        assert one.received() == []
        assert other.received() == ['2["news"]']

    def test_those_on_channels_to_skip_do_not_get_the_event(self, server: FakeServer) -> None:
        clients = [server.connect(channels=held) for held in (["a"], ["a", "muted"], ["b"], [])]
        clients[0].socket.emit("news", to=["a", "b"], skip_channels="muted")
        clients[0].socket.emit("weather", to=EVERYONE, skip_channels=["b", "muted", "nobody"])
        clients[0].socket.emit("own", skip_channels=["b", "a"])
        clients[0].socket.emit("mine", skip_channels=["b"])

        assert [client.received() for client in clients] == [
            ['2["news"]', '2["weather"]', '2["mine"]'],
            [],
            ['2["news"]'],
            ['2["weather"]'],
        ]

    def test_the_others_are_all_but_this_client(self, server: FakeServer) -> None:
        one, other, third = server.connect(), server.connect(), server.connect()
        one.socket.emit("news", to=OTHERS, skip=third.id)

        assert [client.received() for client in (one, other, third)] == [[], ['2["news"]'], []]

    def test_one_client_is_named_by_its_session(self, server: FakeServer) -> None:
        """It is a tuple, and no channel: clients choose the names of channels."""
        one, other = server.connect(), server.connect()
        eavesdropper = server.connect(channels=[other.id])
        one.socket.emit("news", to=other.socket.session)
        one.socket.emit("weather", to=SocketSession(one.id))
        one.socket.emit("nothing", to=other.socket.session, skip=other.id)
        one.socket.emit("nothing", to=SocketSession("nobody"))

        assert one.received() == ['2["weather"]']
        assert other.received() == ['2["news"]']
        assert eavesdropper.received() == []

    def test_one_client_is_found_in_the_same_namespace_only(self, server: FakeServer) -> None:
        server.registry.on_connect(lambda *args: None, namespace="/admin")
        client = server.connect()
        client.send("0/admin,")
        admin = next(s for _, s, _ in server.clients.values() if s.namespace == "/admin")
        client.received()
        client.socket.emit("news", to=admin.session)

        assert client.received() == []

    @pytest.mark.parametrize(
        "arguments",
        [
            {"to": 5},
            {"to": b"room"},
            {"to": [5]},
            {"skip": 5},
            {"skip_channels": 5},
            {"callback": 5},
            {"callback": print, "timeout": "5"},
        ],
    )
    def test_arguments_of_a_wrong_type_are_refused(
        self, client: FakeClient, arguments: dict[str, Any]
    ) -> None:
        with pytest.raises(TypeError):
            client.socket.emit("news", **arguments)
        assert client.received() == []

    @pytest.mark.parametrize(
        "arguments",
        [{"to": ""}, {"skip_channels": [""]}, {"callback": print, "timeout": -1}, {"timeout": 5}],
    )
    def test_arguments_that_make_no_sense_are_refused(
        self, client: FakeClient, arguments: dict[str, Any]
    ) -> None:
        with pytest.raises(ValueError, match=r"empty|timeout"):
            client.socket.emit("news", **arguments)
        assert client.received() == []

    def test_a_callback_that_would_never_run_is_refused(self, client: FakeClient) -> None:
        async def answered(value: object) -> None: ...

        with pytest.raises(TypeError, match=r"callback .* async def"):
            client.socket.emit("news", callback=answered)

    @pytest.mark.parametrize("name", [None, True, 5, b"news"])
    def test_a_name_that_is_no_string_is_refused(self, client: FakeClient, name: Any) -> None:
        with pytest.raises(TypeError, match="event's name"):
            client.socket.emit(name)
        with pytest.raises(TypeError, match="event's name"):
            client.socket.call(name)
        assert client.received() == []

    def test_a_volatile_one_is_dropped_where_the_client_is_slow(self, server: FakeServer) -> None:
        slow, ready = server.connect(), server.connect()
        slow.transport.writable = False
        slow.socket.emit("news", volatile=True)
        slow.socket.emit("weather", to=EVERYONE, volatile=True)
        slow.socket.emit("lasting")

        assert slow.received() == ['2["lasting"]']
        assert ready.received() == ['2["weather"]']

    @pytest.mark.parametrize(
        "name",
        ["connect", "connect_error", "disconnect", "disconnecting", "newListener"],
    )
    def test_a_reserved_name_is_refused(self, client: FakeClient, name: str) -> None:
        with pytest.raises(ValueError, match=name):
            client.socket.emit(name)
        with pytest.raises(ValueError, match=name):
            client.socket.call(name)

        assert client.received() == []
