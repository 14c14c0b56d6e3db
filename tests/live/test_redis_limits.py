"""What Redis may refuse and cut: channels by access rules, connections, and slow readers."""

from collections.abc import Callable

import pytest

from socketio_server.protocol.redis_adapter import Broadcast, encode_broadcast
from tests.support.client import Client
from tests.support.redis import RedisServer
from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.types import Connect, StartServer
from tests.support.views import stats

SOCKETS = f"socket.io#/#{'?' * 20}#"
EVENTS = ["tests.project.handlers.commands"]
COMMANDS = "publish subscribe psubscribe unsubscribe punsubscribe pubsub ping"
"""Those that the documentation names."""

BROADCAST = encode_broadcast(Broadcast("others", "/", ("room",)), ["message", "hi"])
"""A message of another process to a channel."""

Start = Callable[[], Server]


def allow(redis: RedisServer, *channels: str) -> None:
    """Let clients use these channels and patterns only."""
    redis.client.acl_setuser("default", enabled=True, reset_channels=True, channels=channels)


@pytest.fixture
def settings(own_redis: RedisServer) -> dict[str, object]:
    """What servers of one cluster have in common."""
    return {"SOCKETIO_BROKER_URL": own_redis.url, "SOCKETIO_EVENTS": EVENTS}


@pytest.fixture
def start(
    start_server: StartServer, settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> Start:
    """Start a server of the cluster."""
    return lambda: start_server(folder=tmp_path_factory.mktemp("server"), settings=settings)


def check_that_messages_arrive(near: Client, far: Client) -> None:
    """Send a message to everyone, to a channel, and to one client."""
    far.subscribe("room")
    near.method("broadcast", "to all")
    near.method("broadcast_channel", "to the room", "room")
    near.function("send", far.id, "to one")
    assert far.next_messages(3) == ["to all", "to the room", "to one"]


class TestAccessRules:
    def test_of_the_documentation_suffice(
        self,
        own_redis: RedisServer,
        settings: dict[str, object],
        start: Start,
        connect: Connect,
    ) -> None:
        own_redis.client.acl_setuser(
            "site",
            enabled=True,
            passwords=["+secret"],
            commands=[f"+{name}" for name in COMMANDS.split()],
            channels=["socket.io*", SOCKETS],
        )
        settings["SOCKETIO_BROKER_URL"] = f"redis://site:secret@127.0.0.1:{own_redis.port}"
        check_that_messages_arrive(connect(to=start()), connect(to=start()))

    def test_that_are_missing_are_told_once_until_they_are_given(
        self, own_redis: RedisServer, start: Start, connect: Connect
    ) -> None:
        allow(own_redis, "socket.io*")
        server = start()
        server.wait_for_output(
            r"is lost for receiving: PSUBSCRIBE 'socket\.io#/#\?{20}#': NOPERM .* access rules "
            r"\+psubscribe &socket\.io#/#\?{20}#\."
        )
        wait_until(lambda: _refused(own_redis, "psubscribe") >= 3, "the server to try again")
        assert server.output.count("is lost") == 1
        assert "is back for" not in server.output
        assert stats(server)["broker_can_receive"] == 0

        allow(own_redis, "*")
        server.wait_for_output("is back for receiving after")
        check_that_messages_arrive(connect(to=server), connect(to=start()))

    def test_against_one_channel_silence_no_other(
        self, own_redis: RedisServer, start: Start, connect: Connect
    ) -> None:
        channels = ["socket.io#/#", "socket.io#/#room#", "socket.io-re*", SOCKETS]
        allow(own_redis, *channels)
        near, far = start(), start()
        client = connect(to=far)
        assert client.subscribe("another") is True
        far.wait_for_output(r"has refused a command: SUBSCRIBE 'socket.io#/#another#': NOPERM")
        check_that_messages_arrive(connect(to=near), client)
        assert stats(far)["broker_losses"] == 0


def _refused(redis: RedisServer, command: str) -> int:
    """Return how many of these commands Redis has refused."""
    statistics = redis.client.info("commandstats")
    return int(statistics.get(f"cmdstat_{command}", {}).get("rejected_calls", 0))


class TestAPasswordThatIsWrong:
    @pytest.mark.parametrize("credentials", ["", ":wrong@"])
    def test_is_told_with_the_setting_and_without_itself(
        self,
        own_redis: RedisServer,
        settings: dict[str, object],
        start: Start,
        credentials: str,
    ) -> None:
        own_redis.client.acl_setuser("default", enabled=True, reset_passwords=True, passwords="+a")
        settings["SOCKETIO_BROKER_URL"] = own_redis.url.replace("//", f"//{credentials}")
        server = start()
        for purpose in ("sending", "receiving"):
            shown = credentials.replace("wrong", r"\*\*\*")
            server.wait_for_output(
                rf"is lost for {purpose}: .*\(SOCKETIO_BROKER_URL is redis://{shown}127\.0\.0\.1:"
            )
        assert "wrong" not in server.output


class TestTooManyConnections:
    def test_are_told_and_tried_again(
        self, own_redis: RedisServer, start: Start, connect: Connect
    ) -> None:
        own_redis.client.config_set("maxclients", 1)
        server = start()
        server.wait_for_output("is lost")
        own_redis.client.config_set("maxclients", 100)
        server.wait_for_output("is back for receiving after")
        wait_until(lambda: stats(server)["broker_connected"], "both connections")
        check_that_messages_arrive(connect(to=server), connect(to=start()))

    def test_of_one_leave_the_other_at_work(
        self, own_redis: RedisServer, start: Start, connect: Connect
    ) -> None:
        """A server that can't send hears others, and subscribes to what clients want to hear."""
        server = start()
        client = connect(to=server)
        own_redis.client.config_set("maxclients", 1)
        own_redis.client.client_kill_filter(_type="normal", skipme=True)
        server.wait_for_output("is lost for sending")
        client.subscribe("room")
        wait_until(lambda: "socket.io#/#room#" in own_redis.subscriptions(), "the subscription")
        own_redis.client.publish("socket.io#/#room#", BROADCAST)
        assert client.next_message() == "hi"
        counted = stats(server)
        assert (counted["broker_can_send"], counted["broker_can_receive"]) == (0, 1)

        own_redis.client.config_set("maxclients", 100)
        server.wait_for_output("is back for sending after")
        assert "is lost for receiving" not in server.output
        check_that_messages_arrive(client, connect(to=start()))


class TestAServerThatReadsTooSlowly:
    """Redis keeps only so much for it (``client-output-buffer-limit``)."""

    @pytest.fixture
    def slow(self, start: Start) -> Server:
        return start()

    @pytest.fixture
    def client(self, slow: Server, connect: Connect) -> Client:
        """A client of it."""
        return connect(to=slow)

    @pytest.fixture
    def _cut(self, own_redis: RedisServer, slow: Server, client: Client) -> None:
        """Cut it off."""
        client.subscribe("room")
        own_redis.client.config_set("client-output-buffer-limit", "pubsub 1mb 0 0")
        with slow.stopped():
            for _ in range(100):
                own_redis.client.publish("socket.io#/#room#", bytes(500_000))
            wait_until(lambda: not own_redis.client.client_list(_type="pubsub"), "Redis to cut")

    @pytest.mark.usefixtures("_cut")
    def test_notices_that_it_is_cut_off_and_keeps_its_clients(
        self, slow: Server, client: Client, start: Start, connect: Connect
    ) -> None:
        slow.wait_for_output("is lost for receiving: it has closed the connection")
        slow.wait_for_output("is back for receiving after")
        assert stats(slow)["broker_losses"] == 1
        assert client.messages() == []
        check_that_messages_arrive(connect(to=start()), client)
