"""The broker of one process, and what it carries."""

import pytest

from socketio_server.cluster.broker import Envelope
from socketio_server.cluster.memory import MemoryBroker
from tests.cluster.fakes import FakeNode


class TestMemoryBroker:
    def test_an_envelope_is_delivered_on_the_spot(self) -> None:
        node = FakeNode()
        envelope = Envelope(namespace="/", event_name="message", args=("hi",))
        MemoryBroker(node).publish(envelope)

        assert node.delivered == [envelope]

    def test_what_can_not_be_encoded_raises_at_the_sender(self) -> None:
        with pytest.raises(TypeError):
            MemoryBroker(FakeNode()).publish(
                Envelope(namespace="/", event_name="message", args=(object(),))
            )


class TestEnvelope:
    def test_it_is_for_everyone_in_the_namespace_unless_it_says_else(self) -> None:
        envelope = Envelope(namespace="/", event_name="message", args=())

        assert envelope.channels is None
        assert envelope.skip == frozenset()

    def test_it_can_not_be_changed_on_its_way(self) -> None:
        envelope = Envelope(namespace="/", event_name="message", args=())
        with pytest.raises(AttributeError):
            envelope.namespace = "/other"  # type: ignore[misc]
