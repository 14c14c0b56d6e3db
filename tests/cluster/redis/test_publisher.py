"""Publishing from processes that run no server."""

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from socketio_server.cluster.broker import Envelope
from socketio_server.cluster.redis.publisher import PAUSE, RedisPublisher
from socketio_server.exceptions import BrokerUnavailable
from socketio_server.protocol.cluster_requests import (
    Disconnect,
    FetchSockets,
    Response,
    ServerEvent,
    decode_request,
    encode_response,
)
from socketio_server.protocol.redis_adapter import Broadcast, Opts, decode_broadcast
from tests.cluster.fakes import FakeNode
from tests.support.redis import RedisServer
from tests.support.tools import PATIENCE


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def publisher(own_redis: RedisServer, clock: Clock) -> Iterator[RedisPublisher]:
    publisher = RedisPublisher(FakeNode(), own_redis.url, "socket.io", clock)
    yield publisher
    publisher.stop(0)


def envelope(*args: object, channels: tuple[str, ...] | None = ("room",)) -> Envelope:
    return Envelope(namespace="/", event_name="news", args=args, channels=channels)


class TestPublishing:
    def test_servers_hear_it_on_the_channel_of_its_room(
        self, own_redis: RedisServer, publisher: RedisPublisher
    ) -> None:
        with own_redis.client.pubsub(ignore_subscribe_messages=True) as ears:  # type: ignore[no-untyped-call]
            ears.subscribe("socket.io#/#room#")
            ears.get_message(timeout=PATIENCE)
            publisher.publish(envelope(1))
            heard = ears.get_message(timeout=PATIENCE)

        assert heard is not None
        broadcast, data = decode_broadcast(heard["data"])
        assert broadcast == Broadcast("emitter", "/", rooms=("room",))
        assert data == ["news", 1]

    def test_what_is_for_nobody_is_not_published(
        self, own_redis: RedisServer, publisher: RedisPublisher
    ) -> None:
        publisher.publish(envelope(channels=()))
        assert own_redis.client.info("commandstats").get("cmdstat_publish") is None

    def test_what_can_not_be_encoded_raises(self, publisher: RedisPublisher) -> None:
        with pytest.raises(TypeError):
            publisher.publish(envelope(object()))

    def test_what_servers_would_refuse_raises(self, own_redis: RedisServer) -> None:
        node = FakeNode()
        node.max_size = 1000
        publisher = RedisPublisher(node, own_redis.url, "socket.io", Clock())
        with pytest.raises(ValueError, match="too large"):
            publisher.publish(envelope("x" * 1000))


class TestWithoutRedis:
    def test_it_is_unavailable(self, own_redis: RedisServer, publisher: RedisPublisher) -> None:
        own_redis.shut_down()
        with pytest.raises(BrokerUnavailable, match=rf"127\.0\.0\.1:{own_redis.port}/0\) can't be"):
            publisher.publish(envelope())
        own_redis.start()

    def test_for_a_while_nobody_tries_again(
        self, own_redis: RedisServer, publisher: RedisPublisher, clock: Clock
    ) -> None:
        own_redis.shut_down()
        with pytest.raises(BrokerUnavailable):
            publisher.publish(envelope())
        own_redis.start()
        with pytest.raises(BrokerUnavailable):
            publisher.publish(envelope())

        clock.now += PAUSE
        publisher.publish(envelope())

    def test_it_is_used_again_after_a_restart(
        self, own_redis: RedisServer, publisher: RedisPublisher
    ) -> None:
        publisher.publish(envelope())
        own_redis.shut_down()
        own_redis.start()
        publisher.publish(envelope())

    def test_one_that_stands_still_is_unavailable(
        self, own_redis: RedisServer, publisher: RedisPublisher
    ) -> None:
        with own_redis.stopped(), pytest.raises(BrokerUnavailable):
            publisher.publish(envelope())


class TestRefusals:
    def test_of_one_message_keep_no_other_from_redis(
        self, own_redis: RedisServer, publisher: RedisPublisher
    ) -> None:
        own_redis.client.acl_setuser(
            "default", enabled=True, reset_channels=True, channels=["socket.io#/#room#"]
        )
        why = r"has refused a command: .*permissions.* the access rules \+publish &socket\.io\*$"
        with pytest.raises(BrokerUnavailable, match=why):
            publisher.publish(envelope(channels=("another",)))
        publisher.publish(envelope())

    def test_of_the_responses_are_told_to_who_asks(
        self, own_redis: RedisServer, publisher: RedisPublisher
    ) -> None:
        own_redis.client.acl_setuser(
            "default", enabled=True, reset_channels=True, channels=["socket.io#*"]
        )
        question = FetchSockets(request_id="r", opts=Opts(rooms=[]))
        why = r"has refused a command.* \+publish \+subscribe \+unsubscribe \+pubsub &"
        with pytest.raises(BrokerUnavailable, match=why):
            publisher.ask("/", question, PATIENCE)

    def test_of_the_password_are_told_with_the_setting(
        self, own_redis: RedisServer, clock: Clock
    ) -> None:
        url = own_redis.url.replace("//", "//:wrong@")
        publisher = RedisPublisher(FakeNode(), url, "socket.io", clock)
        why = r"can't be reached: .*\(SOCKETIO_BROKER_URL is redis://:\*\*\*@.*password\)$"
        with pytest.raises(BrokerUnavailable, match=why):
            publisher.publish(envelope())
        publisher.stop(0)


class TestOperations:
    def fetch(self) -> FetchSockets:
        return FetchSockets(request_id="r", opts=Opts(rooms=[]))

    def test_nobody_is_asked_where_no_server_listens(self, publisher: RedisPublisher) -> None:
        assert publisher.ask("/", self.fetch(), PATIENCE) == ([], 0)

    def test_servers_are_asked_and_their_responses_collected(
        self, own_redis: RedisServer, publisher: RedisPublisher
    ) -> None:
        def serve() -> None:
            """Respond once, as a server that talks too much."""
            request = ears.get_message(timeout=PATIENCE)
            assert request is not None
            question = decode_request(request["data"])
            own = f"socket.io-response#/#{question.uid}#"
            response = Response(request_id="r", sockets=["a"])
            own_redis.client.publish("socket.io-response#/#", b"garbage")
            own_redis.client.publish(own, encode_response(Response(request_id="another's")))
            own_redis.client.publish(own, encode_response(response))

        with own_redis.client.pubsub(ignore_subscribe_messages=True) as ears:  # type: ignore[no-untyped-call]
            ears.subscribe("socket.io-request#/#")
            ears.get_message(timeout=PATIENCE)
            server = Thread(target=serve)
            server.start()
            found = publisher.ask("/", self.fetch(), PATIENCE)
            server.join()
        assert [response.sockets for response in found.received] == [["a"]]
        assert found.missing == 0

    def test_a_server_that_does_not_respond_is_missing(
        self, own_redis: RedisServer, publisher: RedisPublisher, clock: Clock
    ) -> None:
        with own_redis.client.pubsub(ignore_subscribe_messages=True) as ears:  # type: ignore[no-untyped-call]
            ears.subscribe("socket.io-request#/#")
            ears.get_message(timeout=PATIENCE)
            assert publisher.ask("/", self.fetch(), 0.0) == ([], 1)

    def test_requests_are_published_as_the_emitter_does(
        self, own_redis: RedisServer, publisher: RedisPublisher
    ) -> None:
        with own_redis.client.pubsub(ignore_subscribe_messages=True) as ears:  # type: ignore[no-untyped-call]
            ears.subscribe("socket.io-request#/#")
            ears.get_message(timeout=PATIENCE)
            publisher.tell("/", Disconnect(opts=Opts(rooms=["a"])))
            publisher.tell("/", ServerEvent(data=["news"]))
            heard: Any = [ears.get_message(timeout=PATIENCE) for _ in range(2)]
        assert [message["data"] for message in heard] == [
            b'{"type":4,"opts":{"rooms":["a"],"except":[]},"close":false}',
            b'{"uid":"emitter","type":6,"data":["news"]}',
        ]

    def test_without_redis_it_is_unavailable(
        self, own_redis: RedisServer, publisher: RedisPublisher
    ) -> None:
        own_redis.shut_down()
        with pytest.raises(BrokerUnavailable):
            publisher.ask("/", self.fetch(), PATIENCE)
        with pytest.raises(BrokerUnavailable):
            publisher.tell("/", Disconnect(opts=Opts(rooms=["a"])))
        own_redis.start()
