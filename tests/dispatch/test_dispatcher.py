"""From packets to handlers: which run, in which order, and what is done around them.

The handlers run in real workers; clients speak packets as text.
"""

import gevent
import pytest
from gevent.event import Event
from greenlet import getcurrent, greenlet

from socketio_server.dispatch import dispatcher
from socketio_server.net.turns import LARGE
from socketio_server.net.workers import Job
from socketio_server.protocol import socketio
from socketio_server.protocol.socketio import Kept, Packet, decode_kept
from socketio_server.sockets.socket import Socket
from tests.dispatch.journal import Boom, Context, Journal
from tests.fakes.engine import receive
from tests.fakes.hub import Task, settle, wait_for
from tests.fakes.server import RecordingHooks


class TestLargeMessages:
    """Their decoding and their handlers take a turn each."""

    @pytest.fixture
    def entries(self, server: Journal, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What happened; behind the decoding of a packet, another large job is there to be done."""
        entries: list[str] = []

        def decode(kept: Kept, pause: object = None) -> Packet:
            entries.append("decoded")
            server.dispatcher.pool.run_heavy(Task(lambda: entries.append("another")))
            return decode_kept(kept)

        monkeypatch.setattr(dispatcher, "decode", decode)
        monkeypatch.setattr(dispatcher, "decode_kept", decode)
        monkeypatch.setattr(socketio, "decode_kept", decode)
        return entries

    @pytest.mark.parametrize(
        "packets",
        [
            [f'2["message","{"x" * LARGE}"]'],
            [f'2["message","{"é" * LARGE}"]'],
            [f'51-["message",{{"_placeholder":true,"num":0}},"{"x" * LARGE}"]', b"x"],
            [f'51-["message",{{"_placeholder":true,"num":0}},"{"x" * (LARGE // 4)}"]', b"x"],
        ],
        ids=["ASCII", "other text", "with an attachment", "a quarter as large with one"],
    )
    def test_let_others_be_served_before_their_handlers(
        self, server: Journal, entries: list[str], packets: list[str | bytes]
    ) -> None:
        server.registry.on_message(lambda *args: entries.append("handled"))
        receive(server.connect().session, *packets)
        wait_for(lambda: len(entries) == 3)

        assert entries == ["decoded", "another", "handled"]

    def test_of_many_parts_take_turns_with_others(
        self, server: Journal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They have fewer bytes than large ones, and take as long."""
        heavy = []
        handled = []
        run_heavy = server.pool.run_heavy

        def note(job: Job) -> None:
            heavy.append(job)
            run_heavy(job)

        monkeypatch.setattr(server.pool, "run_heavy", note)
        server.registry.on_message(lambda *args: handled.append(args[-1]))
        receive(server.connect().session, f'2["message",[{",".join(["[]"] * (LARGE // 4))}]]')
        wait_for(lambda: bool(handled))

        assert len(heavy) == 1

    def test_let_others_be_served_before_the_callbacks_of_acknowledgements(
        self, server: Journal, entries: list[str]
    ) -> None:
        client = server.connect()
        client.socket.emit("question", callback=lambda value: entries.append("handled"))
        ack_id = client.received()[0].removeprefix("2").partition("[")[0]
        receive(client.session, f'3{ack_id}["{"x" * LARGE}"]')
        wait_for(lambda: len(entries) == 3)

        assert entries == ["decoded", "another", "handled"]


class TestMessages:
    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["hi"], "hi"),
            ([{"a": [1]}], {"a": [1]}),
            ([None], None),
            ([[1, 2]], [1, 2]),
            ([1, "two"], [1, "two"]),  # several arguments arrive as a list
            ([], None),
        ],
    )
    def test_handlers_get_what_was_sent(
        self, server: Journal, args: list[object], message: object
    ) -> None:
        server.note("on_message")
        server.connect().emit("message", *args)

        assert server.entries == [("on_message", message)]

    def test_those_without_a_pattern_run_on_no_channel_those_with_one_on_a_matching_one(
        self, server: Journal
    ) -> None:
        registry = server.registry
        registry.on_message(lambda *args: server.entries.append("plain"))
        registry.on_message(channel="^room-")(lambda *args: server.entries.append("room"))
        client = server.connect()
        client.emit("message", 1)
        client.socket.subscribe("room-1")
        client.socket.subscribe("room-2")
        client.emit("message", 2)
        client.socket.unsubscribe("room-1")
        client.socket.unsubscribe("room-2")
        client.socket.subscribe("other")
        client.emit("message", 3)
        client.socket.unsubscribe("other")
        client.emit("message", 4)

        assert server.entries == ["plain", "room", "plain"]

    def test_handlers_run_in_the_order_of_their_registration(self, server: Journal) -> None:
        for name in "abc":
            server.registry.on_message(lambda *args, name=name: server.entries.append(name))
        server.connect().emit("message", "hi")

        assert server.entries == ["a", "b", "c"]

    def test_an_event_without_handlers_is_harmless(self, server: Journal) -> None:
        client = server.connect()
        client.emit("message", "hi")
        client.emit("unknown", 1, 2, 3)
        client.emit("__proto__")

        assert client.received() == []
        assert client.closed == []


class TestOrder:
    def test_events_of_one_socket_run_strictly_one_after_another(self, server: Journal) -> None:
        go_on = Event()

        @server.registry.on_message
        def message(request: object, socket: Socket, context: Context, message: int) -> None:
            server.entries.append(("begin", message))
            if message == 0:
                go_on.wait()
            gevent.sleep(0)
            server.entries.append(("end", message))

        client = server.connect()
        client.send(*(f'2["message",{i}]' for i in range(3)))
        assert server.entries == [("begin", 0)]

        go_on.set()
        settle()
        assert server.entries == [(when, i) for i in range(3) for when in ("begin", "end")]

    def test_events_of_different_sockets_run_side_by_side(self, server: Journal) -> None:
        go_on = Event()

        @server.registry.on_message
        def message(request: object, socket: Socket, context: Context, message: str) -> None:
            if message == "slow":
                go_on.wait()
            socket.send(f"done {message}")

        slow, quick = server.connect(), server.connect()
        slow.emit("message", "slow")
        quick.emit("message", "quick")
        assert (slow.messages(), quick.messages()) == ([], ["done quick"])

        go_on.set()
        settle()
        assert slow.messages() == ["done slow"]


class TestAcknowledgements:
    @pytest.mark.parametrize("name", ["message", "question"])
    @pytest.mark.parametrize(
        ("answer", "json"),
        [
            (None, "[]"),
            ("yes", '["yes"]'),
            (0, "[0]"),
            (False, "[false]"),
            ([1, 2], "[[1,2]]"),
            ((1, 2), "[1,2]"),  # a tuple: several values
            ((), "[]"),
            ({"a": None}, '[{"a":null}]'),
        ],
    )
    def test_what_a_handler_returns_answers(
        self, server: Journal, name: str, answer: object, json: str
    ) -> None:
        decorate = server.registry.on_message if name == "message" else server.registry.on(name)
        decorate(lambda *args: answer)
        client = server.connect()
        client.emit(name, "hi", ack_id=7)

        assert client.received() == [f"37{json}"]

    def test_bytes_as_well(self, server: Journal) -> None:
        server.registry.on_message(lambda *args: b"\x01")
        client = server.connect()
        client.emit("message", "hi", ack_id=7)

        assert client.received() == ['61-7[{"_placeholder":true,"num":0}]', "bAQ=="]

    def test_where_the_client_asks_for_none_there_is_none(self, server: Journal) -> None:
        server.registry.on_message(lambda *args: "answer")
        client = server.connect()
        client.emit("message", "hi")

        assert client.received() == []

    @pytest.mark.parametrize(
        ("answers", "json"), [([None, 1, 2], "[1]"), ([1, None], "[1]"), ([None, None], "[]")]
    )
    def test_of_several_handlers_the_first_that_returns_something_answers(
        self, server: Journal, answers: list[object], json: str
    ) -> None:
        for answer in answers:
            server.registry.on_message(lambda *args, answer=answer: answer)
        client = server.connect()
        client.emit("message", "hi", ack_id=0)

        assert client.received() == [f"30{json}"]

    def test_without_a_handler_there_is_none(self, server: Journal) -> None:
        client = server.connect()
        client.emit("message", "hi", ack_id=1)

        assert client.received() == []

    def test_where_no_handler_fits_the_channels_there_is_none(self, server: Journal) -> None:
        server.registry.on_message(channel="^room-")(lambda *args: "answer")
        client = server.connect()
        client.emit("message", "hi", ack_id=1)

        assert client.received() == []

    def test_where_the_handler_raised_there_is_none(self, server: Journal) -> None:
        @server.registry.on_message
        def message(*args: object) -> None:
            raise Boom

        client = server.connect()
        client.emit("message", "hi", ack_id=1)

        assert client.received() == []

    def test_one_that_can_not_be_encoded_is_an_error(self, server: Journal) -> None:
        server.note("on_error")
        server.registry.on_message(lambda *args: object())
        client = server.connect()
        client.emit("message", "hi", ack_id=1)

        assert server.errors == [TypeError]
        assert client.received() == []
        assert client.socket.connected()

    @pytest.mark.parametrize("result", [object(), "a mistake"])
    def test_of_one_that_is_an_error_the_handler_is_logged_with_file_and_line(
        self, server: Journal, result: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        def answer(*args: object) -> object:
            return result

        line = answer.__code__.co_firstlineno
        server.registry.on("ask")(answer)
        server.connect().emit("ask", ack_id=1)

        assert f"answer` ({__file__}:{line}) returned " in caplog.text

    def test_a_result_that_can_not_be_meant_is_an_error_without_one_as_well(
        self, server: Journal
    ) -> None:
        """The handler behind a decorator for views has not run."""
        server.note("on_error")
        server.registry.on("ask")(lambda *args: "a mistake")
        server.registry.on("ask")(lambda *args: "an answer")
        client = server.connect()
        client.emit("ask")
        client.emit("ask", ack_id=1)

        assert server.errors == [TypeError, TypeError]
        assert client.received() == ['31["an answer"]']


class TestCustomEvents:
    @pytest.mark.parametrize(
        ("sent", "given"), [([], "0 arguments"), ([1], "1 argument"), ([1, 2, 3], "3 arguments")]
    )
    def test_of_one_with_other_arguments_the_log_says_how_many_came_and_where_the_handler_is(
        self, server: Journal, sent: list[int], given: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def add(request: object, socket: object, context: object, one: int, two: int) -> None:
            pass

        line = add.__code__.co_firstlineno
        server.registry.on("add")(add)
        server.connect().emit("add", *sent)

        assert (
            f"add` ({__file__}:{line}) got request, socket, context and, from the client, "
            f"{given} of the event 'add'"
        ) in caplog.text

    def test_of_another_error_the_log_says_nothing_of_arguments(
        self, server: Journal, caplog: pytest.LogCaptureFixture
    ) -> None:
        def add(request: object, socket: object, context: object, number: int) -> None:
            raise TypeError("something else")

        server.registry.on("add")(add)
        server.connect().emit("add", 1)

        assert "something else" in caplog.text
        assert "from the client" not in caplog.text

    def test_handlers_get_all_arguments(self, server: Journal) -> None:
        got: list[object] = []
        server.registry.on("draw")(lambda request, socket, context, *args: got.append(args))
        client = server.connect()
        client.emit("draw", 1, "two", [3])
        client.emit("draw")

        assert got == [(1, "two", [3]), ()]

    def test_they_run_whatever_the_channels(self, server: Journal) -> None:
        server.registry.on("draw")(lambda *args: server.entries.append("always"))
        server.registry.on("draw", channel="^room-")(lambda *args: server.entries.append("room"))
        client = server.connect()
        client.emit("draw")
        client.socket.subscribe("room-1")
        client.emit("draw")

        assert server.entries == ["always", "always", "room"]

    def test_a_wrong_number_of_arguments_is_the_handler_s_error(self, server: Journal) -> None:
        server.note("on_error")
        server.registry.on("draw")(lambda request, socket, context, x, y: None)
        client = server.connect()
        client.emit("draw", 1)

        assert len(server.entries) == 1
        assert client.socket.connected()


class TestStatistics:
    def test_events_with_handlers_and_their_time_are_counted(self, server: Journal) -> None:
        @server.registry.on("work")
        def work(*args: object) -> None:
            server.loop.now += 2.0

        client = server.connect()
        client.emit("work")
        client.emit("work")
        client.emit("message", "nobody handles it")

        assert (server.stats.events, server.stats.handler_time) == (2, 4.0)


class TestTheHandlingGreenlet:
    def test_it_is_known_as_the_client_s_own_only_while_it_handles_an_event(
        self, server: Journal
    ) -> None:
        def is_own(worker: greenlet) -> bool:
            owner = client.socket._delivery.owner
            return owner is not None and owner.is_handled_by(worker)

        @server.registry.on_message
        def message(*args: object) -> None:
            workers.append(getcurrent())
            server.entries.append(is_own(getcurrent()))

        workers: list[greenlet] = []
        client = server.connect()
        client.emit("message", "hi")

        assert server.entries == [True]
        assert not is_own(workers[0])


class TestDirtyWorkers:
    def test_only_in_one_the_hooks_run_around_the_handlers_even_if_they_raise(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hooks = RecordingHooks()
        server = Journal(hooks=hooks)
        monkeypatch.setattr(hooks, "before_event", lambda: server.entries.append("before"))
        monkeypatch.setattr(hooks, "after_event", lambda request: server.entries.append("after"))

        @server.registry.on_message
        def message(*args: object) -> None:
            server.entries.append("handler")
            raise Boom

        client = server.connect()
        client.emit("message", "in a clean worker")
        assert server.entries == ["handler"]

        with monkeypatch.context() as patch:
            patch.setattr("socketio_server.net.workers.Worker.is_dirty", True)
            client.emit("message", "in a dirty one")
        assert server.entries == ["handler", "before", "handler", "after"]

    @pytest.mark.parametrize("error", [Boom, gevent.Timeout])
    def test_what_raises_before_the_handlers_keeps_none_from_running(
        self,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        error: type[BaseException],
    ) -> None:
        """A broken database connection may raise when it is closed."""
        hooks = RecordingHooks()
        server = Journal(hooks=hooks)

        def raise_() -> None:
            raise error

        server.note("on_error", "on_message", "on_disconnect", "on_finish")
        client = server.connect()
        monkeypatch.setattr(hooks, "before_event", raise_)
        monkeypatch.setattr("socketio_server.net.workers.Worker.is_dirty", True)
        client.emit("message", "hi")
        client.leave()

        names = [entry[0] if isinstance(entry, tuple) else entry for entry in server.entries]
        ran = ["on_message", "on_disconnect", "on_finish"]
        assert names == [name for event in ran for name in ("on_error", event)]
        assert "Handler of on_disconnect raised" in caplog.text


class TestTheMessageLog:
    def test_what_clients_do_is_logged_with_their_request(self, server: Journal) -> None:
        request = object()
        client = server.connect(request=request, channels=["room"])
        client.emit("message", {"a": 1})
        client.emit("__unsubscribe__", "room")

        assert isinstance(server.hooks, RecordingHooks)
        assert server.hooks.log == [
            (request, "subscribe", "room"),
            (request, "message", {"a": 1}),
            (request, "unsubscribe", "room"),
        ]


class TestTheCapturedState:
    def test_what_was_active_at_the_handshake_is_restored_for_each_event(self) -> None:
        hooks = RecordingHooks()
        server = Journal(hooks=hooks)
        hooks.captured = "french"
        french = server.connect()
        hooks.captured = None
        usual = server.connect()
        hooks.restored.clear()
        french.emit("message", "hi")
        usual.emit("message", "hi")

        assert hooks.restored == ["french"]
