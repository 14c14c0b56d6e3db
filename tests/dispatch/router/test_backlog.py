"""Packets that wait for their handlers: how many bytes of one client, and of all."""

from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.event import Event

from socketio_server.exceptions import Reject
from socketio_server.net.turns import LARGE
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.socket import Socket
from tests.dispatch.router.steps import gate, got, make_server, message, settle_all
from tests.fakes.hub import PATIENCE, settle
from tests.fakes.loop import FakeLoop
from tests.fakes.net import queued_output
from tests.fakes.server import FakeClient, FakeServer, RecordingHooks


class TestWhatWaitsForTheHandlers:
    """It is packet text, decoded when its turn has come."""

    def test_is_bounded_by_bytes_from_which_on_the_client_is_not_read_from(self) -> None:
        server = make_server(max_pending_bytes=100_000)
        gates = gate(server, "/")
        client = server.connect()
        client.send(message(200))
        client.send(message(99_800))
        assert not client.transport.paused

        client.send(message(200))
        assert client.transport.paused
        assert server.dispatcher.total.bytes == 100_000

        gates["/"].set()
        settle_all(server)
        assert not client.transport.paused
        assert len(got(client)) == 3

    def test_keeps_the_client_from_being_read_until_half_of_it_is_handled(self) -> None:
        server = make_server(max_pending_bytes=100_000)
        handled = []
        gates = [Event() for _ in range(5)]

        @server.registry.on_message
        def handle(request: object, socket: object, context: object, message: str) -> None:
            handled.append(message)
            gates[len(handled) - 1].wait()

        client = server.connect()
        client.send(message(200))
        client.send(*[message(30_000)] * 4)
        for done, paused in enumerate([True, True, True, False]):
            assert client.transport.paused is paused
            gates[done].set()
            settle()
        gates[4].set()

    def test_keeps_the_client_from_being_read_as_often_as_it_is_too_much(self) -> None:
        server = make_server(max_pending_bytes=10_000)
        gates = [Event() for _ in range(6)]
        waiting = iter(gates)
        server.registry.on_message(lambda *args: next(waiting).wait() and None)
        client = server.connect()
        for first, second, third in (gates[:3], gates[3:]):
            client.send(*[message(5000)] * 2)
            assert not client.transport.paused

            client.send(message(5000))
            assert client.transport.paused

            first.set()
            settle()
            assert not client.transport.paused
            second.set()
            third.set()
            settle()

    def test_is_kept_of_no_client_that_has_little_of_it(self) -> None:
        server = make_server()
        gates = gate(server, "/")
        client = server.connect()
        client.send(message(200), message(50_000))
        assert server.dispatcher.total.bytes > 0

        gates["/"].set()
        settle_all(server)
        assert server.dispatcher.total.bytes == 0

    def test_is_that_of_all_its_namespaces_together(self) -> None:
        server = make_server(max_pending_bytes=100_000)
        gates = gate(server, "/", "/admin")
        client = server.connect()
        client.send("0/admin,")
        for namespace in gates:
            client.send(message(200, namespace), message(50_000, namespace))
        assert client.transport.paused

        gates["/admin"].set()
        with gevent.Timeout(PATIENCE):
            while client.transport.paused:
                settle()
        gates["/"].set()

    def test_is_no_question_of_its_number(self, server: FakeServer) -> None:
        gates = gate(server, "/")
        client = server.connect()
        client.send(*['2["message","x"]'] * 5000)
        assert not client.transport.paused

        gates["/"].set()
        with gevent.Timeout(PATIENCE):
            while len(got(client)) < 5000:
                settle()

    def test_does_not_keep_acknowledgements_from_coming(self, server: FakeServer) -> None:
        answers = []

        @server.registry.on("ask")
        def ask(request: object, socket: Any, context: object) -> None:
            answers.append(socket.call("question", timeout=PATIENCE))

        client = server.connect()
        client.emit("ask")
        (question,) = client.received()
        ack_id = question[1 : question.index("[")]
        client.send(*['2["message","x"]'] * 100, f'3{ack_id}["answer"]')
        assert answers == ["answer"]
        assert len(got(client)) == 100

    def test_does_not_keep_the_client_from_leaving(self, server: FakeServer) -> None:
        gates = gate(server, "/")
        client = server.connect()
        socket = client.socket
        client.send('2["message","in work"]', '2["message","waits"]', "1")
        assert not socket.connected()
        assert len(server.clients) == 1

        gates["/"].set()
        settle()
        assert socket.context["got"] == ["in work", "waits"]
        assert len(server.clients) == 0


class TestALargeHandshake:
    """Its request is kept with the sockets."""

    def test_is_charged_to_its_client_until_the_session_ends(self) -> None:
        hooks = RecordingHooks()
        server = FakeServer(hooks=hooks)
        hooks.size_of_requests = 60_000
        client = server.open()
        assert server.dispatcher.total.bytes == 60_000
        client.leave()
        assert server.dispatcher.total.bytes == 0

    def test_of_usual_size_is_not(self) -> None:
        hooks = RecordingHooks()
        server = FakeServer(hooks=hooks)
        hooks.size_of_requests = 4000
        assert server.connect().session.is_open
        assert server.dispatcher.total.bytes == 0

    def test_counts_no_more_than_before_once_nothing_waits(self) -> None:
        """Together with a packet it is much; alone it is not."""
        hooks = RecordingHooks()
        server = FakeServer(hooks=hooks)
        hooks.size_of_requests = 10_000
        client = server.connect()
        client.send(message(10_000))
        settle()
        assert client.router.waiting_bytes == 0
        assert server.dispatcher.total.bytes == 0

    @pytest.mark.parametrize("revision", [3, 4])
    def test_that_is_too_large_ends_the_session_at_once(self, revision: int) -> None:
        hooks = RecordingHooks()
        server = FakeServer(Options(max_pending_total=50_000), hooks=hooks)
        hooks.size_of_requests = 60_000
        client = server.open(revision=revision)
        assert client.closed == [CloseReason.TRANSPORT_ERROR]
        assert server.dispatcher.total.bytes == 0


class TestWhatWaitsForTheHandlersOfAllClients:
    """It is bounded as well; then the client goes that holds most."""

    def test_the_client_that_holds_most_is_closed_and_what_it_sent_dropped(self) -> None:
        server = make_server(max_pending_total=200_000)
        gates = gate(server, "/")
        clients = [server.connect() for _ in range(3)]
        for client in clients:
            client.send(message(200))
        for client, size in zip(clients, (50_000, 90_000, 50_000), strict=True):
            client.send(message(size))
        assert [client.closed for client in clients] == [[], [], []]

        clients[0].send(message(20_000))
        assert [client.closed for client in clients] == [[], [CloseReason.TRANSPORT_ERROR], []]
        assert clients[1].refusals == [
            "pending: too many bytes wait for handlers, or for their rest "
            "(SOCKETIO_MAX_PENDING_TOTAL)"
        ]
        assert server.dispatcher.total.bytes < 125_000

        gates["/"].set()
        settle_all(server)
        assert [len(got(client)) for client in clients[::2]] == [3, 2]
        assert len(server.clients) == 2

    def test_what_is_yet_to_be_complete_counts_as_well(self) -> None:
        server = make_server(max_pending_total=200_000)
        clients = [server.connect() for _ in range(3)]
        clients[0].session.charge_session(90_000)  # of a message, as its transport says
        clients[1].send("51-" + message(61_000)[1:])
        assert server.dispatcher.total.bytes > 150_000
        assert [client.closed for client in clients] == [[], [], []]

        clients[2].send('52-["message",{"_placeholder":true,"num":0}]', b"x" * 60_000)
        assert clients[0].closed == [CloseReason.TRANSPORT_ERROR]
        for client in clients:
            client.leave()
        settle()
        assert server.dispatcher.total.bytes == 0

    def test_so_does_auth_as_what_it_takes_once_it_is_decoded(self) -> None:
        server = make_server()
        client = server.connect(auth={"list": [[]] * 1000})
        assert server.dispatcher.total.bytes > 80_000

        client.leave()
        settle()
        assert server.dispatcher.total.bytes == 0

    def test_one_that_is_closed_for_its_auth_has_all_its_events_in_order(self) -> None:
        server = make_server(max_pending_total=50_000)
        log: list[str] = []
        for name in ("on_connect", "on_disconnect", "on_finish"):
            getattr(server.registry, name)(lambda *args, name=name: log.append(name))
        client = server.open()
        client.send('0{"list":[' + "[]," * 5000 + "0]}")
        settle()
        assert client.closed == [CloseReason.TRANSPORT_ERROR]
        assert log == ["on_connect", "on_disconnect", "on_finish"]
        assert server.dispatcher.total.bytes == 0

    def test_auth_of_some_ends_no_others(self) -> None:
        """It is kept until the last handlers have run."""
        server = make_server(max_pending_total=400_000)
        never = Event()
        server.registry.on("slow")(lambda *args: never.wait() and None)
        honest = [server.connect() for _ in range(3)]
        for client in honest:
            client.emit("slow")
            client.send(message(20_000))
        attackers = []
        for _ in range(8):
            attackers.append(server.connect(auth={"list": [[]] * 1000}))
            attackers[-1].emit("slow")
        assert {bool(client.closed) for client in attackers} == {True, False}
        for client in honest:
            client.send(message(200))
            assert not client.closed
        never.set()
        settle()

    def test_attachments_that_are_too_large_give_nothing_back_that_was_not_charged(self) -> None:
        server = make_server()
        gates = gate(server, "/")
        client = server.connect()
        client.send(message(200), *[message(10_000)] * 90)
        place = '{"_placeholder":true,"num":0}'
        client.send(f'52-["message",{place},{place.replace("0", "1")}]', b"x", b"x" * 1_000_000)
        assert client.closed == [CloseReason.PARSE_ERROR]
        assert server.dispatcher.total.bytes >= 90 * 10_000

        gates["/"].set()
        settle()
        assert server.dispatcher.total.bytes == 0

    def test_one_that_is_gone_already_may_lose_what_waits_too(self) -> None:
        server = make_server(max_pending_total=100_000)
        gates = gate(server, "/")
        gone, other = server.connect(), server.connect()
        context = gone.socket.context
        for client, size in ((gone, 80_000), (other, 10_000)):
            client.send(message(200), message(size))
        gone.leave()
        other.send(message(10_000))
        assert other.closed == []
        assert gone.refusals == [
            "pending: too many bytes wait for handlers, or for their rest "
            "(SOCKETIO_MAX_PENDING_TOTAL)"
        ]

        gates["/"].set()
        settle()
        assert len(context["got"]) == 1
        assert len(got(other)) == 3
        assert len(server.clients) == 1


class TestWhatIsHeldOfEveryKind:
    """What waits for handlers, what is decoded, and output are bounded together, too."""

    def test_takes_clients_whose_packets_wait_if_no_output_can_go(self) -> None:
        server = make_server(
            max_queued_total=1, max_pending_total=160_000, max_decoded_total=240_000
        )
        gates = gate(server, "/")
        clients = [server.connect() for _ in range(3)]
        for client, size in zip(clients, (10_000, 30_000, 60_000), strict=True):
            client.send(message(200), message(size))
        memory = server.dispatcher.decoded_memory
        assert memory.take(clients[0].router, 190_000, print)
        server.loop.run()
        assert [client.closed for client in clients] == [[], [], []]

        assert memory.take(clients[0].router, 10**7, print)
        server.loop.run()
        ended = [CloseReason.TRANSPORT_ERROR]
        assert [client.closed for client in clients] == [[], [], ended]
        gates["/"].set()

    def test_takes_no_client_in_the_middle_of_its_turn(self) -> None:
        """The packet that it is about to handle may be gone again when the loop calls back."""
        server = make_server(
            max_queued_total=2_000_000,
            max_pending_total=1_700_000,
            max_decoded_total=1_200_000,
            max_pending_bytes=1_000_000,
        )
        first = Event()
        server.registry.on("first")(lambda *args: first.wait() and None)
        client = server.connect()
        client.emit("first")
        client.send('2["message",[' + ",".join(["[]"] * 5000) + "]]")
        client.send(*[message(20_000)] * 30)
        server.held_total.count(1_990_000 - server.held_total.bytes)
        first.set()
        settle_all(server)
        server.loop.run()
        assert client.closed == []
        assert len(got(client)) == 31
        assert client.router.waiting_bytes == 0

    def test_tells_once_of_a_client_that_has_gone(self) -> None:
        server = make_server(
            max_queued_total=400_000,
            max_pending_total=200_000,
            max_decoded_total=400_000,
            max_pending_bytes=150_000,
            max_auth_size=100_000,
        )
        never = Event()
        server.registry.on("slow")(lambda *args: never.wait() and None)
        gone = server.connect(auth={"list": [[] for _ in range(700)]})
        gone.emit("slow")
        gone.leave()
        for _ in range(8):
            client = server.connect()
            client.emit("slow")
            client.send(*[message(14_000)] * 5)
        assert len(gone.refusals) <= 1
        never.set()


class TestAttachmentsThatAreDue:
    def test_one_character_does_not_make_their_packet_large(self) -> None:
        server = make_server()
        client = server.connect()
        client.send('51-["message","😀' + "x" * 100_000 + '"]')
        assert server.dispatcher.total.bytes < 110_000


class TestHandlersOfOneClient:
    def test_run_side_by_side_for_a_few_namespaces(self) -> None:
        server = make_server(max_handlers_per_client=2)
        server.registry.on_connect(lambda *args: None, namespace="/third")
        gates = gate(server, "/", "/admin", "/third")
        client = server.connect()
        client.send("0/admin,", "0/third,")
        sockets = {socket.namespace: socket for _, socket, _ in server.clients.values()}

        @server.registry.on_message(namespace="/third")
        def third(request: object, socket: object, context: dict[str, Any], m: object) -> None:
            context["third"] = m

        client.send(*[message(200, namespace) for namespace in gates])
        gates["/third"].set()
        settle()
        assert "third" not in sockets["/third"].context

        gates["/"].set()
        settle()
        assert "third" in sockets["/third"].context
        gates["/admin"].set()
        settle()


class TestLargeMessages:
    """Those that the client's handlers make: its next event takes a turn of its own."""

    @pytest.mark.parametrize(
        "send",
        [
            pytest.param(lambda socket, text: text, id="an answer"),
            pytest.param(lambda socket, text: socket.send(text), id="send"),
            pytest.param(lambda socket, text: socket.emit("page", text, callback=print), id="emit"),
            pytest.param(lambda socket, text: socket.broadcast(text), id="broadcast"),
        ],
    )
    @pytest.mark.parametrize(("size", "is_large"), [(LARGE, True), (LARGE - 100, False)])
    def test_are_noted(self, send: Any, size: int, is_large: bool) -> None:
        server = make_server()
        server.clients.output = queued_output(FakeLoop())

        @server.registry.on_message
        def handle(request: object, socket: object, context: object, message: object) -> Any:
            return send(socket, "x" * size)

        client = server.connect()
        client.emit("message", "hello", ack_id=1)

        assert client.router.makes_large_messages is is_large


class TestSubscriptionsAndPendingAcknowledgements:
    """Clients choose the names of channels, and whether they answer."""

    LONG = tuple(f"{number}".ljust(128, "\U0001f600") for number in range(256))

    def test_are_charged_beyond_what_is_usual(self) -> None:
        server = make_server()
        client = server.connect()
        for number in range(256):
            client.socket.subscribe(f"prices-of-stock-number-{number}".ljust(100, "-"))
        assert server.dispatcher.total.bytes == 0

        for channel in self.LONG:
            client.socket.subscribe(channel)
        assert server.dispatcher.total.bytes > 256 * 4 * 128

        for channel in self.LONG:
            client.socket.unsubscribe(channel)
        assert server.dispatcher.total.bytes == 0

    @pytest.mark.parametrize("answers", [False, True])
    def test_callbacks_are_charged_until_they_are_answered_or_the_client_goes(
        self, answers: bool
    ) -> None:
        server = make_server(max_packet_burst=10_000)
        client = server.connect()
        for _ in range(1_001):  # for the last, the first is given up
            client.socket.emit("question", callback=lambda *args: None)
        assert server.dispatcher.total.bytes == 1_000 * 600 - 131_072

        if answers:
            client.send(*[f"43{packet[2:].split('[')[0]}[]" for packet in client.received()[1:]])
        else:
            client.leave()
        settle_all(server)
        assert server.dispatcher.total.bytes == 0

    @pytest.mark.parametrize("leave", [FakeClient.leave, lambda client: client.send("41")])
    def test_are_charged_no_more_once_the_client_has_gone(
        self, leave: Callable[[FakeClient], None]
    ) -> None:
        server = make_server()
        client = server.connect()
        for channel in self.LONG:
            client.socket.subscribe(channel)
        assert server.dispatcher.total.bytes > 0

        leave(client)
        settle_all(server)
        assert server.dispatcher.total.bytes == 0
        assert client.router.subscription_bytes == 0

    def test_of_who_is_refused_count_no_more(self, server: FakeServer) -> None:
        @server.registry.on_connect
        def refuse(request: object, socket: Socket, context: object) -> None:
            for _ in range(300):
                socket.emit("question", callback=lambda *args: None)
            raise Reject

        client = server.open()
        client.send("0")
        settle_all(server)
        assert client.router.subscription_bytes == 0
        assert server.dispatcher.total.bytes == 0

    def test_end_the_session_of_who_has_most_if_it_is_too_much_for_the_process(self) -> None:
        server = make_server(max_pending_total=200_000)
        first, second = server.connect(), server.connect()
        for client in (first, second):
            for channel in self.LONG:
                client.socket.subscribe(channel)
        settle()
        assert [first.closed, second.closed] == [[CloseReason.TRANSPORT_ERROR], []]
        assert first.router.subscription_bytes == 0
        assert server.clients.channels.total == 256

        second.leave()
        settle_all(server)
        assert server.dispatcher.total.bytes == 0
