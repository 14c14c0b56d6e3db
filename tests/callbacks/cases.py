"""The callbacks that serve one client, each with what lets it raise."""

import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from socketio_server.engine.engine import Engine
from socketio_server.engine.transports.polling import PollingTransport
from socketio_server.engine.transports.websocket import UpgradedConnection, WebSocketTransport
from socketio_server.http.connection import HttpConnection
from socketio_server.http.exchange import SessionExchange, WsgiExchange
from socketio_server.http.listener import HttpListener
from socketio_server.net.connection import Connection
from socketio_server.net.loop import GuardedLoop
from socketio_server.net.queued_output import Backlog
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.websocket.frames import Opcode
from tests.callbacks.world import LONG, Faults, World
from tests.fakes.engine import RecordingSessionHandler, outgoing
from tests.http.site import head, request
from tests.support.websocket import frame

MANY = "x" * 10_000
"""A message that is counted while it waits for a GET."""

Play = Callable[[World, Faults], None]


class Case(NamedTuple):
    """A callback that raises.

    :param entry: the name of the function that the loop calls.
    :param play: lets it raise.
    :param ends_session: whether the session of the client ends with that.
    :param options: the server's.
    """

    entry: str
    play: Play
    ends_session: bool
    options: dict[str, Any]


CASES: list[Case] = []


def case(entry: str, *, ends_session: bool = True, **options: Any) -> Callable[[Play], Play]:
    """Register a case."""

    def register(play: Play) -> Play:
        CASES.append(Case(entry, play, ends_session, options))
        return play

    return register


# --- Connections ------------------------------------------------------------------------------


@case("Connection._on_readable")
def bytes_arrive(world: World, faults: Faults) -> None:
    faults.add(RecordingSessionHandler, "text_received")
    world.websocket().send_text("4hello")


@case("Connection._on_early_data")
def bytes_arrived_behind_the_handshake(world: World, faults: Faults) -> None:
    faults.add(RecordingSessionHandler, "text_received")
    world.websocket(frame(Opcode.TEXT, b"4hello"))


@case("Connection._flush")
def the_kernel_accepts_more(world: World, faults: Faults) -> None:
    client = world.websocket()
    world.sessions[-1].send(outgoing(MANY * 400))
    faults.add(Backlog, "taken")
    client.read()


@case("_report_loss")
def the_connection_is_lost(world: World, faults: Faults) -> None:
    client = world.websocket()
    faults.add(RecordingSessionHandler, "session_closed", after=True)
    client.sock.close()
    world.run()


@case("Connection.uncork")
def answers_go_out_together(world: World, faults: Faults) -> None:
    client = world.websocket()
    faults.add(Connection, "_flush")
    client.send_text("4hello", "4hello")


@case("HttpConnection.move_away", ends_session=False)
def it_is_to_move_to_another_worker(world: World, faults: Faults) -> None:
    world.connect()
    faults.add(HttpListener, "hand_over")
    world.http.hand_over_waiting()


@case("WebSocketTransport._continue", max_events_per_turn=1)
def frames_wait_for_their_turn(world: World, faults: Faults) -> None:
    client = world.websocket()
    faults.add(RecordingSessionHandler, "text_received", skip=1)
    client.send_text("4hello", "4hello")


@case("WebSocketTransport._continue", max_packet_rate=1, max_packet_burst=1)
def frames_wait_for_their_time(world: World, faults: Faults) -> None:
    client = world.websocket()
    faults.add(RecordingSessionHandler, "text_received", skip=2)
    client.send_text("4hello", "4hello", "4hello", "4hello")
    world.advance(4.0)


@case("WebSocketTransport._continue_large")
def a_large_message_waits_for_its_turn(world: World, faults: Faults) -> None:
    client = world.websocket(deflates=True)
    faults.add(RecordingSessionHandler, "text_received")
    deflate = zlib.compressobj(wbits=-15)
    data = deflate.compress(b"4" + b"x" * 500_000) + deflate.flush(zlib.Z_SYNC_FLUSH)[:-4]
    first, *rest = frame(Opcode.TEXT, data)
    client.send(bytes([first | 0x40, *rest]))


@case("WebSocketTransport._fail")
def a_frame_is_refused(world: World, faults: Faults) -> None:
    client = world.websocket()
    faults.add(Engine, "client_refused")
    client.send(frame(Opcode.TEXT, b"\xff"))


# --- Polling ----------------------------------------------------------------------------------


@case("PollingTransport._answer_poll")
def a_poll_is_answered(world: World, faults: Faults) -> None:
    world.connect(head("GET", world.polling()))
    faults.add(SessionExchange, "has_ended")
    world.sessions[-1].send(outgoing("hello"))
    world.run()


@case("PollingTransport._answer_now")
def a_long_answer_waits_for_its_turn(world: World, faults: Faults) -> None:
    world.connect(head("GET", world.polling()))
    world.sessions[-1].send(outgoing("x" * 50_000))
    faults.add(SessionExchange, "has_ended")
    world.run()


@case("PostReceiver._fail_post")
def a_packet_is_refused(world: World, faults: Faults) -> None:
    target = world.polling()
    faults.add(Engine, "client_refused")
    world.connect(request("POST", target, b"4hello\x1e0"))


@case("PostReceiver._go_on")
def packets_wait_for_their_turn(world: World, faults: Faults) -> None:
    target, session = world.polling(), world.sessions[-1]
    session.pause_reading()
    world.connect(request("POST", target, b"4hello"))
    faults.add(RecordingSessionHandler, "text_received")
    session.resume_reading()
    world.run()


@case("PostReceiver._take_large")
def a_payload_waits_for_its_turn(world: World, faults: Faults) -> None:
    target = world.polling()
    faults.add(RecordingSessionHandler, "text_received")
    world.connect(request("POST", target, b"4" + 50_000 * b"x"))


@case("PollingTransport._report", max_queued_bytes=5000)
def a_client_is_given_up(world: World, faults: Faults) -> None:
    world.polling()
    faults.add(RecordingSessionHandler, "session_closed", after=True)
    world.sessions[-1].send(outgoing(MANY))
    world.run()


@case("PollingTransport.discard_queue")
def the_queue_of_a_session_is_dropped(world: World, faults: Faults) -> None:
    world.polling()
    world.sessions[-1].send(outgoing(MANY))
    faults.add(Backlog, "close")
    world.sessions[-1].close(CloseReason.PARSE_ERROR)
    world.run()


@case("Farewells._forget")
def a_session_is_forgotten(world: World, faults: Faults) -> None:
    target = world.polling()
    faults.add(GuardedLoop, "call", skip=1)  # the first is a new connection
    world.connect(request("POST", target, b"1")).sock.close()
    world.run()


# --- HTTP -------------------------------------------------------------------------------------


@case("HttpConnection._read_on", ends_session=False)
def a_request_arrived_before_the_answer(world: World, faults: Faults) -> None:
    target = world.polling()
    faults.add(Engine, "has_session", skip=1)
    world.connect(2 * request("POST", target, b"4hello"))


@case("HttpListener._serve", ends_session=False)
def a_connection_is_accepted(world: World, faults: Faults) -> None:
    faults.add(HttpConnection, "start")
    world.connect()


@case("HttpConnection.timed_out", ends_session=False)
def a_head_is_late(world: World, faults: Faults) -> None:
    faults.add(HttpConnection, "report_slow")
    world.connect(b"GET /")
    world.advance(11.0)


@case("HttpConnection.timed_out")
def a_body_is_late(world: World, faults: Faults) -> None:
    faults.add(SessionExchange, "body_timed_out")
    world.connect(request("POST", world.polling(), b"4hello")[:-1])
    world.advance(11.0)


@case("StreamedBody.time_out", ends_session=False)
def a_body_of_the_application_is_late(world: World, faults: Faults) -> None:
    def read(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        with suppress(OSError):
            environ["wsgi.input"].read()
        start("200 OK", [("Content-Length", "0")])
        return []

    world.application = read
    faults.add(WsgiExchange, "report_slow")
    world.connect(request("POST", "/", b"hello")[:-1])
    world.advance(11.0)
    world.advance(3.0)


# --- Deadlines --------------------------------------------------------------------------------


@case("Deadlines._on_timer", ends_session=False)
def the_timer_of_deadlines_goes_off(world: World, faults: Faults) -> None:
    world.connect(b"GET /")
    faults.add(world, "clock")
    world.advance(11.0)


@case("Deadlines._postpone", ends_session=False)
def items_that_are_due_wait_for_the_loop(world: World, faults: Faults) -> None:
    world.connect(b"GET /")
    faults.add(world.guarded, "timer", skip=1)
    world.advance(11.0)


@case("Deadlines._fire", ends_session=False)
def items_fall_due(world: World, faults: Faults) -> None:
    world.connect(b"GET /")
    faults.add(world, "clock", skip=1)
    world.advance(11.0)


@case("Heartbeat._ping_due")
def a_ping_is_due(world: World, faults: Faults) -> None:
    world.websocket()
    faults.add(WebSocketTransport, "send_first")
    world.advance(LONG)


@case("Engine._heartbeat_expired")
def a_pong_is_late(world: World, faults: Faults) -> None:
    world.websocket()
    world.advance(LONG)
    world.post(world.bystander, "3")
    faults.add(Engine, "_log_refusal")
    world.advance(LONG)


@case("Engine._heartbeat_expired", ping_interval=2.0, ping_timeout=2.0)
def a_ping_of_revision_3_is_late(world: World, faults: Faults) -> None:
    world.websocket(revision="3")
    world.advance(2.0)
    world.post(world.bystander, "3")
    faults.add(Engine, "_log_refusal")
    world.advance(2.0)


@case("Engine._probe_timed_out")
def an_upgrade_is_late(world: World, faults: Faults) -> None:
    world.polling()
    client = world._pair()
    connection = Connection(client._ours, world.guarded, world.engine.output)
    world.engine.probe_websocket(world.sessions[-1], UpgradedConnection(connection))
    faults.add(Engine, "_log_refusal")
    world.advance(15.0)


@case("Connection.abort")
def a_close_frame_is_late(world: World, faults: Faults) -> None:
    world.websocket()
    world.sessions[-1].close(CloseReason.FORCED_SERVER_CLOSE)
    world.run()
    faults.add(Connection, "_fail")
    world.advance(3.0)


@case("PollingTransport.discard_queue")
def a_last_poll_is_late(world: World, faults: Faults) -> None:
    world.polling()
    world.sessions[-1].send(outgoing(MANY))
    world.sessions[-1].close(CloseReason.FORCED_SERVER_CLOSE)
    faults.add(Backlog, "close")
    world.advance(3.0)


@case("Farewells._timed_out")
def a_last_poll_is_late_and_nobody_knows_its_answer(world: World, faults: Faults) -> None:
    world.polling()
    world.sessions[-1].send(outgoing(MANY))
    world.sessions[-1].close(CloseReason.FORCED_SERVER_CLOSE)
    faults.add(PollingTransport, "is_answering")
    world.advance(3.0)


@case("Backlog.stalled")
def a_client_reads_nothing(world: World, faults: Faults) -> None:
    world.websocket()
    world.sessions[-1].send(outgoing(MANY * 400))
    faults.add(Connection, "try_again")
    world.advance(11.0)


@case("Backlog.check_lag", stall_timeout=100.0)
def a_client_reads_too_little(world: World, faults: Faults) -> None:
    world.websocket()
    world.sessions[-1].send(outgoing(MANY * 400))
    faults.add(Connection, "give_up")
    world.advance(50.0)


@case("Backlog.stalled", ends_session=False)
def a_download_pauses(world: World, faults: Faults) -> None:
    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        start("200 OK", [("Content-Length", "4000000")])
        return [b"x" * 4_000_000]

    world.application = answer
    world.connect(request("GET", "/"))
    faults.add(Connection, "try_again")
    world.advance(310.0)
