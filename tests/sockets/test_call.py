"""Asking one client or several, and waiting for the answers."""

from typing import Any

import gevent
import pytest
from gevent.event import Event

from socketio_server.events import EVERYONE, OTHERS, SocketSession
from socketio_server.exceptions import Reject
from socketio_server.serving.timekeeper import GeventTimekeeper
from socketio_server.sockets.delivery import Delivery
from socketio_server.sockets.socket import Socket
from tests.fakes.hub import PATIENCE, settle
from tests.fakes.server import FakeClient, FakeServer
from tests.sockets.steps import ack_id_of


class TestCall:
    """Emits and waits; other sockets go on meanwhile."""

    def call(
        self, socket: Socket, *args: Any, **kwargs: Any
    ) -> "gevent.Greenlet[..., tuple[Any, BaseException | None]]":
        """Call in a greenlet; it returns what ``call`` returned, and raised."""

        def run() -> tuple[Any, BaseException | None]:
            try:
                return socket.call(*args, **kwargs), None
            except (TimeoutError, RuntimeError, LookupError) as error:
                return None, error

        greenlet = gevent.spawn(run)
        gevent.sleep(0)
        return greenlet

    @pytest.mark.parametrize(
        ("json", "value"),
        [("[1]", 1), ("[1,2]", (1, 2)), ("[]", None), ("[[1,2]]", [1, 2]), ("[null]", None)],
    )
    def test_it_returns_what_the_client_acknowledges(
        self, client: FakeClient, json: str, value: object
    ) -> None:
        call = self.call(client.socket, "question", "arg", timeout=60.0)
        (packet,) = client.received()
        assert packet.endswith('["question","arg"]')
        client.send(f"3{ack_id_of(packet, 'question')}{json}")

        assert call.get(block=False) == (value, None)

    def test_it_raises_where_nothing_comes_in_time(self, client: FakeClient) -> None:
        call = self.call(client.socket, "question", timeout=0.001)

        assert type(call.get(timeout=PATIENCE)[1]) is TimeoutError

    @pytest.mark.parametrize(("timeout", "error"), [("5", TypeError), (-1, ValueError)])
    def test_it_refuses_a_wrong_timeout_before_it_asks(
        self, client: FakeClient, timeout: Any, error: type[Exception]
    ) -> None:
        with pytest.raises(error, match="timeout"):
            client.socket.call("question", timeout=timeout)
        assert client.received() == []

    @pytest.mark.parametrize("timeout", [60.0, None])
    def test_it_raises_where_the_client_goes(
        self, client: FakeClient, timeout: float | None
    ) -> None:
        call = self.call(client.socket, "question", timeout=timeout)
        client.leave()

        assert type(call.get(block=False)[1]) is TimeoutError

    @pytest.mark.parametrize("timeout", [60.0, None])
    def test_it_raises_where_the_client_has_gone_already(
        self, client: FakeClient, timeout: float | None
    ) -> None:
        socket = client.socket
        client.leave()
        call = self.call(socket, "question", timeout=timeout)
        settle()

        assert type(call.get(block=False)[1]) is TimeoutError

    def test_it_does_not_wait_for_ever_for_one_of_very_many(self, client: FakeClient) -> None:
        """A client that acknowledges nothing is not remembered without end."""
        call = self.call(client.socket, "question")
        for _ in range(1100):
            client.socket.emit("more", callback=print)
        client.leave()
        settle()

        assert call.ready()
        assert type(call.get(block=False)[1]) is TimeoutError

    def test_a_handler_may_call_its_own_client(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        @server.registry.on_message
        def message(request: object, socket: Socket, context: object, message: object) -> None:
            socket.send(socket.call("question", timeout=60.0))

        client.send('2["message","hi"]')
        ack_id = ack_id_of(client.received()[0], "question")
        client.send(f'3{ack_id}["answer"]')

        assert client.messages() == ["answer"]

    def test_a_client_that_may_still_be_refused_is_not_asked_and_can_not_answer(
        self, server: FakeServer
    ) -> None:
        go_on = Event()

        @server.registry.on_subscribe
        def subscribe(request: object, socket: Socket, context: object, channel: str) -> None:
            if socket.id != member.id:
                go_on.wait()
                raise Reject("no")

        member = server.connect()
        member.emit("__subscribe__", "room")
        doubtful = server.connect()
        doubtful.emit("__subscribe__", "room")
        member.received()

        call = self.call(member.socket, "question", to="room", timeout=60.0)
        (packet,) = member.received()
        ack_id = ack_id_of(packet, "question")
        doubtful.send(f'3{ack_id}["a guess"]')
        member.send(f'3{ack_id}["answer"]')

        assert call.get(block=False) == (({member.id: "answer"}, ()), None)
        go_on.set()
        settle()

    def test_in_on_connect_it_raises_because_the_client_can_not_answer(
        self, server: FakeServer
    ) -> None:
        errors: list[Exception] = []

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: object) -> None:
            try:
                socket.call("question", timeout=60.0)
            except RuntimeError as error:
                errors.append(error)

        server.connect()

        assert len(errors) == 1


class TestACallThatIsBrokenOff:
    """By a ``gevent.Timeout`` of the caller's own, for instance."""

    @pytest.mark.parametrize("to", [None, EVERYONE])
    def test_leaves_no_acknowledgement_pending(
        self, client: FakeClient, to: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forgotten: list[int] = []
        monkeypatch.setattr(
            Delivery, "forget_acknowledgement", lambda self, ack_id: forgotten.append(ack_id)
        )
        call = gevent.spawn(client.socket.call, "question", to=to)
        settle()
        call.kill()

        assert forgotten == [ack_id_of(client.received()[0], "question")]


class TestCallSeveral:
    """Broadcasts with acknowledgements."""

    def call(self, socket: Socket, **kwargs: Any) -> "gevent.Greenlet[..., Any]":
        greenlet = gevent.spawn(socket.call, "question", **kwargs)
        gevent.sleep(0)
        return greenlet

    def answer(self, client: FakeClient, value: object) -> None:
        client.send(f"3{ack_id_of(client.received()[0], 'question')}[{value}]")

    def test_it_collects_all_answers(self, server: FakeServer) -> None:
        a, b = server.connect(channels=["room"]), server.connect(channels=["room"])
        call = self.call(a.socket, to="room", timeout=60.0)
        self.answer(a, 1)
        assert not call.ready()
        self.answer(b, 2)

        answers = call.get(block=False)
        assert answers.values == {a.id: 1, b.id: 2}
        assert answers.missing == ()

    def test_it_asks_the_others(self, server: FakeServer) -> None:
        a, b, c = server.connect(), server.connect(), server.connect(channels=["busy"])
        call = self.call(a.socket, to=OTHERS, skip_channels="busy")
        self.answer(b, 2)

        assert call.get(block=False).values == {b.id: 2}
        assert a.received() == c.received() == []

    def test_it_asks_one_by_its_session(self, server: FakeServer) -> None:
        a, b = server.connect(), server.connect()
        call = self.call(a.socket, to=b.socket.session)
        self.answer(b, 2)

        assert call.get(block=False).values == {b.id: 2}
        assert a.received() == []

    def test_one_that_is_not_there_is_missing(self, client: FakeClient) -> None:
        answers = client.socket.call("question", to=SocketSession("nobody"))

        assert answers == ({}, ("nobody",))

    def test_one_that_is_skipped_is_not_asked(self, client: FakeClient) -> None:
        session = client.socket.session

        assert client.socket.call("question", to=session, skip=session) == ({}, ())
        with pytest.raises(TimeoutError):
            client.socket.call("question", skip=session)

    def test_it_tells_who_did_not_answer_in_time(self, server: FakeServer) -> None:
        time_is_up = Event()

        class ByHand(GeventTimekeeper):
            def wait(self, event: Event, timeout: float | None) -> None:
                time_is_up.wait()

        server.clients.timekeeper = ByHand(60.0, bool)
        a, b = server.connect(), server.connect()
        call = self.call(a.socket, to=EVERYONE, timeout=60.0)
        self.answer(a, 1)
        assert not call.ready()
        time_is_up.set()

        answers = call.get(timeout=PATIENCE)
        assert answers.values == {a.id: 1}
        assert answers.missing == (b.id,)

    def test_it_tells_who_went_away(self, server: FakeServer) -> None:
        a, b = server.connect(), server.connect()
        call = self.call(a.socket, to=EVERYONE)
        b_id = b.id
        b.leave()
        self.answer(a, 1)

        answers = call.get(block=False)
        assert answers.missing == (b_id,)

    def test_it_tells_who_answered_what_is_no_json(self, server: FakeServer) -> None:
        a, b = server.connect(), server.connect()
        b_id = b.id
        call = self.call(a.socket, to=EVERYONE)
        self.answer(a, 1)
        (question,) = b.received()
        b.send(f"3{question[1 : question.index('[')]}[no")

        assert call.get(block=False).missing == (b_id,)

    def test_it_does_not_wait_for_those_who_are_about_to_end(self, server: FakeServer) -> None:
        """Their last handlers may take a while; they answer nothing any more."""
        go_on = Event()

        @server.registry.on_disconnect
        def disconnect(*args: object) -> None:
            go_on.wait()

        a, b = server.connect(), server.connect()
        b_id = b.id
        b.leave()
        call = self.call(a.socket, to=EVERYONE)
        self.answer(a, 1)

        assert call.ready()
        assert call.get(block=False).missing == (b_id,)
        go_on.set()
        settle()

    def test_it_does_not_wait_for_those_who_are_refused_meanwhile(self, server: FakeServer) -> None:
        a = server.connect()
        go_on = Event()

        @server.registry.on_connect
        def connect(*args: object) -> None:
            go_on.wait()
            raise PermissionError

        refused = server.open()
        refused.send("0")
        call = self.call(a.socket, to=EVERYONE)
        self.answer(a, 1)
        go_on.set()
        settle()

        assert call.ready()
        assert call.get(block=False).values == {a.id: 1}

    def test_where_nobody_is_there_it_returns_at_once(self, client: FakeClient) -> None:
        answers = self.call(client.socket, to="empty").get(block=False)

        assert answers.values == {}
        assert answers.missing == ()
