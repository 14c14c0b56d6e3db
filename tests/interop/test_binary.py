"""Binary data between the official clients and the server, anywhere in a message, both ways."""

from typing import Any

from tests.interop.clients import FLAVOURS
from tests.interop.conftest import Connect

EVERY_BYTE = bytes(range(256))

MESSAGES: list[Any] = [
    b"",
    b"\0",
    EVERY_BYTE,
    {"picture": EVERY_BYTE, "title": "Zoë 😀"},
    [b"one", "two", {"three": [b"3", {"four": b"4"}]}, None],
    [[[[{"deep": {"deeper": [b"deepest"]}}]]]],
    [bytes([n]) * n for n in range(10)],  # the most attachments that one packet may have
]


class TestBinaryData:
    def test_comes_back_as_it_was_wherever_in_a_message_it_is(self, connect: Connect) -> None:
        client = connect()
        client.send(*MESSAGES)
        assert client.messages(len(MESSAGES)) == MESSAGES

    def test_keeps_its_place_among_text(self, connect: Connect) -> None:
        client = connect()
        messages = [part for n in range(50) for part in (n, {"n": bytes([n])}, str(n), b"x" * n)]
        client.send(*messages)
        assert client.messages(len(messages)) == messages

    def test_may_be_large(self, connect: Connect) -> None:
        client = connect()
        data = EVERY_BYTE * 2400  # over polling, base64 makes 819,200 bytes of it
        client.send({"data": data})
        assert client.message() == {"data": data}

    def test_travels_in_events_with_several_arguments(self, connect: Connect) -> None:
        client = connect()
        client.emit("emit", None, [], "news", b"one", "two", {"three": b"3"})
        assert client.event("news") == [b"one", "two", {"three": b"3"}]

    def test_travels_in_acknowledgements_of_the_server(self, connect: Connect) -> None:
        client = connect()
        assert client.ask("echo", EVERY_BYTE, {"a": [b"b"]}) == [EVERY_BYTE, {"a": [b"b"]}]

    def test_travels_in_acknowledgements_of_the_client(self, connect: Connect) -> None:
        client = connect()
        client.answer("question", EVERY_BYTE, {"a": [b"b"]})
        assert client.ask("call", 20, "question", b"why") == ["tuple", [EVERY_BYTE, {"a": [b"b"]}]]
        assert client.event("question") == [b"why"]

    def test_travels_in_namespaces(self, connect: Connect) -> None:
        client = connect(namespaces=["/", "/chat"])
        client.wait_until_connected("/chat")
        client.send(EVERY_BYTE, namespace="/chat")
        assert client.message("/chat") == ["/chat", EVERY_BYTE]
        assert client.ask("echo", b"x", namespace="/chat") == [b"x"]

    def test_reaches_clients_of_every_kind_on_a_channel(self, connect: Connect) -> None:
        clients = [connect(flavour) for flavour in FLAVOURS]
        for client in clients:
            client.subscribe("room-binary")
        clients[0].send({"picture": EVERY_BYTE})
        assert [client.message() for client in clients] == [{"picture": EVERY_BYTE}] * len(clients)

    def test_is_not_mistaken_for_what_only_looks_like_its_stand_in(self, connect: Connect) -> None:
        client = connect()
        messages = [{"_placeholder": True, "num": 0}, {"_placeholder": "x"}]
        client.send(*messages)
        assert client.messages(2) == messages
