"""One socket's events strictly one after another, those of different sockets side by side."""

from tests.support.client import answers_to
from tests.support.server import Server
from tests.support.types import Connect, StartServer
from tests.support.views import outside
from tests.support.wire import TransportName


class TestEventsOfOneSocket:
    def test_come_in_the_order_in_which_the_client_sent_them(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        for number in range(200):
            client.send(number)
        client.messages()
        assert [
            entry.details["args"][0]
            for entry in server.journal.entries(client.id, "bare")
            if entry.event == "on_message"
        ] == list(range(200))

    def test_begin_when_the_event_before_has_ended(
        self, server: Server, connect: Connect, transport: TransportName, gate: str
    ) -> None:
        slow, other = connect(transport), connect()
        slow.ask_later("message", {"do": "wait", "gate": gate})
        slow.send("behind")
        server.journal.wait_for("waiting", slow.id)
        other.open(gate)
        happened = server.journal.wait_for("on_message", slow.id)
        events = [entry.event for entry in happened if entry.handler in ("bare", gate)]
        assert events == ["on_connect", "waiting", "passed", "on_message"]


class TestEventsOfDifferentSockets:
    def test_a_handler_that_waits_delays_nobody_else(
        self, server: Server, connect: Connect, transport: TransportName, gate: str
    ) -> None:
        waiting = [connect(transport) for _ in range(5)]
        acks = [client.ask_later("message", {"do": "wait", "gate": gate}) for client in waiting]
        for client in waiting:
            server.journal.wait_for("waiting", client.id)
        other = connect(transport)
        assert other.subscribe("room-1") is True
        other.open(gate)
        assert answers_to(waiting, acks) == [["passed"]] * 5

    def test_a_client_is_connected_while_the_on_connect_of_another_waits(
        self, server: Server, connect: Connect, transport: TransportName, gate: str
    ) -> None:
        waiting = connect(transport, query={"gate": gate}, join=False)
        waiting.ask_to_connect()
        server.journal.wait_for("waiting", handler=gate)
        connect(transport).open(gate)
        assert waiting.next_message() == "from on_connect"

    def test_a_waiting_handler_gets_messages_to_its_client_all_the_same(
        self, server: Server, connect: Connect, transport: TransportName, gate: str
    ) -> None:
        waiting, other = connect(transport), connect()
        waiting.ask_later("message", {"do": "wait", "gate": gate})
        server.journal.wait_for("waiting", waiting.id)
        other.function("send", waiting.id, "meanwhile")
        assert waiting.next_message() == "meanwhile"
        other.open(gate)


class TestAllHandlers:
    def test_run_side_by_side_up_to_the_limit(
        self, share_server: StartServer, connect: Connect
    ) -> None:
        server = share_server(settings={"SOCKETIO_MAX_CONCURRENT_HANDLERS": 2})
        clients = [connect(to=server) for _ in range(3)]
        *busy, third = clients
        for number, client in enumerate(busy):
            client.ask_later("message", {"do": "wait", "gate": f"gate-{number}"})
            server.journal.wait_for("waiting", client.id)
        third.ask_later("message", {"do": "wait", "gate": "gate-2"})
        outside(server, "send", third.id, "still here")  # by now its message was read
        assert third.next_message() == "still here"
        assert "waiting" not in server.journal.events(third.id)
        outside(server, "open_gate", "gate-0")
        server.journal.wait_for("waiting", third.id)
        for number in (1, 2):
            outside(server, "open_gate", f"gate-{number}")
        server.journal.wait_for("passed", third.id)
