"""Namespaces with the official clients: several on one session, each with what is its own."""

from secrets import token_hex

import pytest

from tests.interop.clients import (
    JAVASCRIPT_4_FLAVOURS,
    JAVASCRIPT_FLAVOURS,
    REVISION_4_FLAVOURS,
    WATCHER,
    Client,
)
from tests.interop.conftest import Connect

BOTH = ["/", "/chat"]


class TestNamespaces:
    def test_share_a_session_and_nothing_else(self, connect: Connect) -> None:
        client = connect(namespaces=BOTH)
        client.wait_until_connected("/chat")
        assert client.ids["/"] != client.ids["/chat"]
        for namespace in BOTH:
            known = client.who(namespace)
            assert (known["id"], known["namespace"]) == (client.ids[namespace], namespace)

    def test_have_handlers_of_their_own(self, connect: Connect) -> None:
        client = connect(namespaces=BOTH)
        client.wait_until_connected("/chat")
        client.send("hello", namespace="/chat")
        client.send("hello")
        assert client.message("/chat") == ["/chat", "hello"]
        assert client.message() == "hello"

    def test_need_not_include_the_main_one(self, open_client: Connect) -> None:
        client = open_client(namespaces=["/chat"])
        client.wait_until_connected("/chat")
        client.send("hello", namespace="/chat")
        assert client.message("/chat") == ["/chat", "hello"]

    def test_may_be_named_by_a_pattern(self, open_client: Connect) -> None:
        namespaces = ["/team-7", "/team-12"]
        client = open_client(namespaces=namespaces)
        for namespace in namespaces:
            client.wait_until_connected(namespace)
            client.send("hello", namespace=namespace)
            assert client.message(namespace) == [namespace, "hello"]

    def test_that_nobody_made_are_invalid(self, open_client: Connect) -> None:
        client = open_client(namespaces=["/team-7/x"])
        assert client.wait_for("connect_error", "/team-7/x")[0] == "Invalid namespace"

    @pytest.mark.parametrize("flavour", JAVASCRIPT_FLAVOURS, ids=str)
    def test_that_are_invalid_do_not_touch_the_others(self, connect: Connect) -> None:
        client = connect(namespaces=["/", "/nowhere"])
        assert client.wait_for("connect_error", "/nowhere")[0] == "Invalid namespace"
        client.send("still here")
        assert client.message() == "still here"


class TestBroadcastsInANamespace:
    def test_stay_there(self, connect: Connect) -> None:
        sender, other = connect(namespaces=BOTH), connect(namespaces=BOTH)
        for client in (sender, other):
            client.wait_until_connected("/chat")
        sender.ask("broadcast", "in chat", namespace="/chat")
        sender.ask("broadcast", "in the main namespace")
        assert other.message("/chat") == "in chat"
        assert other.message() == "in the main namespace"
        assert other.pending("message", "/") == other.pending("message", "/chat") == []

    def test_to_a_channel_stay_on_the_channel_of_that_namespace(self, connect: Connect) -> None:
        sender, other = connect(namespaces=BOTH), connect(namespaces=BOTH)
        for client in (sender, other):
            client.wait_until_connected("/chat")
        sender.subscribe("room-1", namespace="/chat")
        other.subscribe("room-1", namespace="/chat")
        other.subscribe("room-1")
        sender.send("in chat", namespace="/chat")
        sender.ask("broadcast", "in the main namespace")
        assert other.message("/chat") == "in chat"
        assert other.message() == "in the main namespace"


class TestLeavingANamespace:
    @pytest.mark.parametrize("flavour", JAVASCRIPT_FLAVOURS, ids=str)
    def test_leaves_the_others_alone(self, connect: Connect) -> None:
        client, watcher = connect(namespaces=BOTH), connect(WATCHER, namespaces=BOTH)
        first_id = client.wait_until_connected("/chat")
        watcher.wait_until_connected("/chat")
        watcher.subscribe(f"journal-{first_id}")
        client.disconnect("/chat")
        assert client.wait_for("disconnect", "/chat") == ["io client disconnect"]
        assert watcher.message() == ["disconnect", "client namespace disconnect"]
        assert client.ask("echo", "still here") == ["still here"]
        client.do("join", namespace="/chat")
        assert client.wait_until_connected("/chat") != first_id

    def test_because_the_server_says_so_leaves_the_others_alone(self, connect: Connect) -> None:
        client = connect(namespaces=BOTH)
        client.wait_until_connected("/chat")
        client.emit("send away", False, namespace="/chat")
        client.wait_until_sent_away("/chat")
        assert client.ask("echo", "still here") == ["still here"]

    def test_with_the_whole_session_leaves_all(self, connect: Connect) -> None:
        client = connect(namespaces=BOTH)
        client.wait_until_connected("/chat")
        client.emit("send away", True, namespace="/chat")
        for namespace in BOTH:
            client.wait_until_sent_away(namespace, with_session=True)


class TestWhileAHandlerDecides:
    """Clients leave and come back, and the server sends them away; they say nothing of leaving a
    namespace that has not let them in yet."""

    @pytest.fixture
    def gate(self) -> str:
        """Where the handler waits."""
        return token_hex()

    @pytest.fixture
    def watcher(self, connect: Connect, gate: str) -> Client:
        """Hears when the handler has begun, and lets it go on."""
        watcher = connect(WATCHER)
        watcher.subscribe(f"at-gate-{gate}")
        return watcher

    @pytest.mark.parametrize("flavour", JAVASCRIPT_FLAVOURS, ids=str)
    def test_one_that_leaves_and_joins_again_keeps_its_session(
        self, connect: Connect, watcher: Client, gate: str
    ) -> None:
        client = connect(namespaces=["/", "/slow"], query={"gate": gate})
        own_id = client.who()["id"]
        assert watcher.message() == "on_connect"
        client.disconnect("/slow")
        client.do("join", namespace="/slow")
        assert client.who()["id"] == own_id  # the server has heard of the second joining as well
        watcher.ask("open", gate)
        slow_id = client.wait_until_connected("/slow")
        assert client.who("/slow")["id"] == slow_id
        assert client.message("/slow") == {"greeting": slow_id}
        assert client.pending("message", "/slow") == []
        assert client.who()["id"] == own_id

    @pytest.mark.parametrize("flavour", JAVASCRIPT_4_FLAVOURS, ids=str)
    def test_one_that_leaves_and_joins_again_gets_nothing_that_was_held(
        self, connect: Connect, watcher: Client, gate: str
    ) -> None:
        client = connect(namespaces=BOTH, query={"gate": gate})
        client.emit("__subscribe__", "slow-room")
        assert watcher.message() == "on_subscribe"
        watcher.ask("emit", "slow-room", [], "message", "to those on it")
        first_id = client.ids["/"]
        client.disconnect()
        client.do("join", namespace="/")
        client.who("/chat")  # the server has heard of both
        watcher.ask("open", gate)
        assert client.wait_until_connected() != first_id
        client.who()
        assert client.pending("message") == []

    @pytest.mark.parametrize("flavour", JAVASCRIPT_FLAVOURS, ids=str)
    def test_one_that_is_sent_away_hears_of_it_at_once(
        self, connect: Connect, watcher: Client, gate: str
    ) -> None:
        client = connect(namespaces=BOTH, query={"gate": gate})
        client.wait_until_connected("/chat")
        client.emit("__subscribe__", "slow-room")
        assert watcher.message() == "on_subscribe"
        watcher.ask("emit", "slow-room", [], "message", "to those on it")
        client.emit("send away", True, namespace="/chat")
        for namespace in BOTH:
            client.wait_until_sent_away(namespace, with_session=True)
        watcher.ask("open", gate)
        assert client.pending("message") == []


@pytest.mark.parametrize("flavour", REVISION_4_FLAVOURS, ids=str)
class TestAuth:
    def test_reaches_the_handlers_as_the_client_gave_it(self, connect: Connect) -> None:
        auth = {"deep": [{"er": None}], "Zoë": "😀"}
        client = connect(namespaces=BOTH, auth=auth)
        client.wait_until_connected("/chat")
        assert client.who()["auth"] == client.who("/chat")["auth"] == auth

    def test_is_none_or_empty_where_the_client_has_none(self, connect: Connect) -> None:
        assert not connect().who()["auth"]

    def test_lets_in_who_has_the_right_token(self, open_client: Connect) -> None:
        client = open_client(namespaces=["/members"], auth={"token": "the right one"})
        assert client.wait_until_connected("/members")

    def test_keeps_out_who_has_not(self, open_client: Connect) -> None:
        client = open_client(namespaces=["/members"], auth={"token": "another"})
        assert client.wait_for("connect_error", "/members") == [
            "Wrong token",
            {"got": {"token": "another"}},
        ]
