"""What the tests of sockets do again and again."""

from tests.fakes.server import FakeClient


def received(*clients: FakeClient) -> list[list[object]]:
    return [client.messages() for client in clients]


def ack_id_of(packet: str, event: str) -> int:
    """The id that a packet wants to be acknowledged with."""
    digits, _, rest = packet.removeprefix("2").partition("[")
    assert rest.startswith(f'"{event}"')
    return int(digits)
