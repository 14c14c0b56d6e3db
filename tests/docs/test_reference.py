"""The reference, compared with the code: nothing is missing there, and nothing is made up."""

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar

import pytest

import socketio_server
from socketio_server import conf, events, exceptions, signals
from socketio_server.net.statistics import Snapshot
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import ERROR_MESSAGES, ErrorCode
from socketio_server.protocol.names import RESERVED_EVENTS, SUBSCRIBE, UNSUBSCRIBE
from socketio_server.registry.events import REGISTRY
from socketio_server.sockets.socket import Socket
from tests.docs.conftest import Connect, RunScript, Serve
from tests.docs.pages import code, page, pages
from tests.docs.project import Project
from tests.support.server import ROOT

PACKAGE = ROOT / "socketio_server"
FUNCTIONS = sorted(
    name for name in socketio_server.__all__ if inspect.isfunction(getattr(socketio_server, name))
)


def signature(function: Callable[..., Any]) -> str:
    """Return a function's parameters as the reference writes them: without annotations."""
    found = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=parameter.empty)
        for parameter in found.parameters.values()
        if parameter.name != "self"
    ]
    text = str(found.replace(parameters=parameters, return_annotation=found.empty))
    return text.replace(repr(events.EVERYONE), "EVERYONE").replace("'", '"')


def sources() -> str:
    """Return the package's Python code."""
    return "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))


def codes(name: str, column: int = 0) -> list[str]:
    """Return what a page's tables show as code in one column, cells with several taken apart."""
    return [shown for row in page(name).rows for shown in re.findall(r"`([^`]+)`", row[column])]


class TestSettings:
    PAGE = "docs/reference/settings.md"
    CHANGES = "docs/reference/changed-settings.md"
    ROWS: ClassVar = {code(row[0]): row for row in page(PAGE).rows if "`SOCKETIO_" in row[0]}

    @pytest.mark.parametrize("name", [field.name for field in fields(Options)])
    def test_every_option_is_a_setting_with_its_default_unit_and_reason(self, name: str) -> None:
        setting = f"SOCKETIO_{name.upper()}"
        default = getattr(Options(), name)
        assert setting in self.ROWS, (
            f"{self.PAGE} needs a row: | `{setting}` | `{default!r}` | unit | what and why |"
        )
        _, shown, unit, reason = self.ROWS[setting]
        assert ast.literal_eval(code(shown)) == default
        assert unit
        assert reason

    def test_the_page_has_no_other(self) -> None:
        known = {f"SOCKETIO_{field.name.upper()}" for field in fields(Options)}
        assert set(self.ROWS) <= known

    def test_no_page_names_a_setting_that_does_not_exist(self) -> None:
        known = {f"SOCKETIO_{field.name.upper()}" for field in fields(Options)}
        for found in pages():
            if found.name in ("CHANGELOG.md", self.CHANGES):  # tell of the past, too
                continue
            text = found.path.read_text(encoding="utf-8")
            assert set(re.findall(r"SOCKETIO_[A-Z0-9_]*[A-Z0-9]", text)) <= known, found.name

    def test_of_those_that_changed_only_those_that_went_do_not_exist(self) -> None:
        known = {f"SOCKETIO_{field.name.upper()}" for field in fields(Options)}
        for setting, change, _ in page(self.CHANGES).rows:
            assert change in ("same", "changed", "came", "went")
            assert (code(setting) in known) == (change != "went"), setting

    def test_loggers_are_those_of_the_code(self) -> None:
        used = set(re.findall(r'getLogger\("([^"]+)"\)', sources()))
        shown = [row for row in page(self.PAGE).rows if len(row) == 2 and "." in row[0]]
        assert {code(row[0]) for row in shown} | {"socketio_server"} == used

    def test_the_keys_of_the_message_log_are_those_of_the_code(self) -> None:
        default = conf.options().message_log_format
        assert default is not None
        keys = set(re.findall(r"%\((\w+)\)", default)) - {"REMOTE_ADDR"}
        assert keys <= set(codes(self.PAGE))


class TestChecks:
    PAGE = "docs/reference/checks.md"

    def test_every_check_is_there_and_no_other(self) -> None:
        assert set(codes(self.PAGE)) == set(re.findall(r"socketio_server\.[EW]\d{3}", sources()))


class TestFunctions:
    PAGE = "docs/reference/functions.md"

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_every_function_is_there_as_it_is_called(self, name: str) -> None:
        assert f"`{name}{signature(getattr(socketio_server, name))}`" in page(self.PAGE).prose

    def test_every_other_name_is_there_and_no_other(self) -> None:
        names = set(socketio_server.__all__) - set(FUNCTIONS)
        assert set(codes(self.PAGE)) == names | set(Snapshot.__annotations__)

    def test_its_handler_tells_who_is_there(self, serve: Serve, connect: Connect) -> None:
        client = connect(serve(self.PAGE))
        client.subscribe("room-1")
        assert client.call("who") == {"clients": 1, "names": [None], "room": [client.id]}


class TestSignals:
    PAGE = "docs/reference/signals.md"

    def test_every_signal_is_there_and_no_other(self) -> None:
        assert set(codes(self.PAGE)) == set(signals.__all__)

    def test_its_receivers_tell_who_came_and_went(self, serve: Serve, connect: Connect) -> None:
        server = serve(self.PAGE)
        client = connect(server)
        server.wait_for_output("127.0.0.1 came to /")
        client.close()
        server.wait_for_output("One went: transport close")


class TestSocket:
    PAGE = "docs/reference/socket.md"
    MEMBERS = frozenset(name for name in vars(Socket) if not name.startswith("_"))

    def test_every_member_is_there_and_no_other(self) -> None:
        shown = {
            re.match(r"\w+", text)[0]  # type: ignore[index]
            for row in page(self.PAGE).rows
            if len(row) == 2
            for text in re.findall(r"^`([^`]+)`", row[0])
        }
        arguments = set(inspect.signature(Socket.emit).parameters) | {"args"}
        assert shown - arguments | {"emit", "call"} == self.MEMBERS

    @pytest.mark.parametrize(
        "name", [name for name in MEMBERS if inspect.isfunction(getattr(Socket, name))]
    )
    def test_every_method_is_there_as_it_is_called(self, name: str) -> None:
        text = page(self.PAGE).path.read_text(encoding="utf-8")
        assert f"`{name}{signature(getattr(Socket, name))}`" in text

    def test_what_emit_takes_is_explained(self) -> None:
        parameters = set(inspect.signature(Socket.emit).parameters) - {"self"}
        assert parameters <= set(codes(self.PAGE))


class TestEvents:
    PAGE = "docs/reference/events.md"

    def test_every_name_is_there_and_no_other(self) -> None:
        assert set(codes(self.PAGE)) == set(events.__all__)

    def test_handlers_have_the_arguments_that_the_table_says(self) -> None:
        rows = [row for row in page("docs/reference/handlers.md").rows if len(row) == 3]
        shown = {code(name): code(arguments) for name, arguments, _ in rows}
        assert set(shown) == {event.name for event in REGISTRY} - set(REGISTRY.custom) | {"on"}
        for arguments in shown.values():
            assert arguments.startswith("request, socket, context")

    def test_what_reject_takes_is_there(self) -> None:
        text = page(self.PAGE).path.read_text(encoding="utf-8")
        assert f"`Reject{signature(events.Reject)}`" in text

    def test_the_names_that_on_refuses_are_there(self) -> None:
        text = page(self.PAGE).path.read_text(encoding="utf-8")
        for name in [*RESERVED_EVENTS, "message", SUBSCRIBE, UNSUBSCRIBE]:
            assert f"`{name}`" in text
            with pytest.raises(events.EventError):
                events.Registry().on(name)


class TestHandlers:
    PAGE = "docs/reference/handlers.md"

    def test_a_handler_that_is_registered_twice_runs_always(
        self, serve: Serve, connect: Connect
    ) -> None:
        client = connect(serve(self.PAGE))
        assert client.call("message", "one") == 1
        assert client.next_event() == ["logged", "one"]
        client.subscribe("lobby")
        client.send("two")
        assert client.next_event() == ["logged", "two"]

    def test_a_handler_with_a_pattern_runs_on_a_matching_channel(
        self, serve: Serve, connect: Connect
    ) -> None:
        client = connect(serve(self.PAGE))
        client.subscribe("room-1")
        client.send("hello")
        assert client.next_message() == "hello"


class TestErrors:
    PAGE = "docs/reference/errors.md"

    def test_every_exception_is_there_and_no_other(self) -> None:
        rows = [row for row in page(self.PAGE).rows if len(row) == 3]
        known = {
            name
            for name, value in vars(exceptions).items()
            if inspect.isclass(value) and issubclass(value, exceptions.SocketIOError)
        }
        assert {code(row[0]) for row in rows} == known - {"SocketIOError"}
        for name, module, _ in rows:
            assert hasattr(__import__(code(module), fromlist=["*"]), code(name))

    def test_every_close_reason_is_there(self) -> None:
        text = page(self.PAGE).path.read_text(encoding="utf-8").replace("\n", " ")
        for reason in CloseReason:
            assert f"`{reason}`" in text

    def test_there_are_no_other_close_reasons(self) -> None:
        rows = page(self.PAGE).rows
        shown = {row[0].strip("`") for row in rows if len(row) == 2 and row[0].startswith("`")}
        assert shown <= set(CloseReason)


class TestProtocol:
    PAGE = "docs/reference/protocol.md"

    def test_every_error_is_there_with_its_status_code_and_message(self) -> None:
        rows = [row for row in page(self.PAGE).rows if len(row) == 3 and row[0].isdigit()]
        assert [(int(row[1]), code(row[2])) for row in rows] == [
            (int(error), ERROR_MESSAGES[error]) for error in ErrorCode
        ]
        assert [row[1] for row in rows if row[0] == "403"] == [str(int(ErrorCode.FORBIDDEN))]

    def test_every_reserved_event_is_there(self) -> None:
        text = page(self.PAGE).path.read_text(encoding="utf-8")
        for name in RESERVED_EVENTS:
            assert f"`{name}`" in text


class TestClient:
    PAGE = "docs/reference/client.md"

    def test_the_python_client_can_use_channels(
        self, serve: Serve, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (block,) = page(self.PAGE).of("python")
        namespace: dict[str, Any] = {}
        exec(block.text.replace("http://localhost:9000", serve(self.PAGE).url), namespace)
        namespace["client"].disconnect()
        assert capsys.readouterr().out == "True\n"

    def test_every_call_that_makes_a_socket_connects(
        self, serve: Serve, run_script: RunScript
    ) -> None:
        script = """
          const sockets = [io(), io("/"), io({}), io.connect(), new io.connect(), new io.Socket()];
          sockets.at(-1).connect();
          for (const socket of sockets) socket.on("connect", () => console.log(socket.id.length));
        """
        run_script(serve(self.PAGE), script).wait_for(["20"] * 6)


class TestCommand:
    PAGE = "docs/reference/command.md"

    def test_prints_what_the_page_says_it_prints(self, tutorial: Project) -> None:
        (banner,) = page(self.PAGE).of("text")
        server = tutorial.serve()
        try:
            for line in banner.text.splitlines():
                expected = re.sub(r"\b5\.2\.\d+|:9000", "@", line)
                server.wait_for_output(re.escape(expected).replace("@", r"[\d.:]+"))
        finally:
            server.kill()


class TestCapacity:
    PAGE = "docs/capacity.md"

    @pytest.mark.parametrize("column", [2, 3])
    def test_the_parts_of_a_process_s_memory_add_up(self, column: int) -> None:
        rows = page(self.PAGE).rows
        first = next(at for at, row in enumerate(rows) if row[0] == "the process without clients")
        last = next(at for at, row in enumerate(rows) if row[0] == "**all**")
        parts = [int(row[column]) for row in rows[first:last]]
        assert f"**{sum(parts)}**" == rows[last][column]

    def test_its_bounds_are_those_of_the_defaults(self) -> None:
        options = Options()
        shared = [options.max_queued_total, options.max_pending_total, options.max_decoded_total]
        text = "\n".join(page(self.PAGE).prose)
        assert f"({max(shared) // 10**6} MB), [which they share]" in text
        assert f"For {options.max_connections:,} connections at the defaults" in text


class TestSecurity:
    PAGE = "docs/security.md"

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("max_payload", "{:,} bytes"),
            ("max_fragments", "| {:,}, and no more than"),
            ("max_packets_per_payload", "| {:,}, counted"),
            ("max_attachments", "| {}, placeholders"),
            ("max_channel_length", "1 to {} printable"),
            ("max_channels", "{} per client in each"),
            ("max_namespaces", "{} per client"),
            ("max_pending_bytes", "| {:,} bytes | the client is not read from"),
            ("max_pending_total", "| {:,} bytes | the client is closed"),
            ("max_decoded_total", "| {:,} bytes, estimated: half"),
            ("max_auth_size", "| {:,} characters, for all"),
            ("max_handlers_per_client", "side by side | {} | its other"),
            ("max_packet_rate", "| {:,} a second"),
            ("max_packet_burst", "{:,} at once"),
            ("max_websocket_pings", "| {0} a second, and {0} at once"),
            ("high_water", "from {:,} bytes on"),
            ("max_queued_bytes", "waits for a client | {:,} bytes |"),
            ("max_queued_total", "of the process | {:,} bytes |"),
            ("max_lag", "16 kB a second | {:.0f} s |"),
            ("stall_timeout", "| {:.0f} s | the client is disconnected"),
            ("download_timeout", "| {:.0f} s | the connection is closed | connections"),
            ("send_buffer", "{:,} bytes"),
            ("max_events_per_turn", "| {} frames or 10 ms |"),
            ("max_concurrent_handlers", "| {:,} | events wait |"),
            ("max_connections", "| {:,}, and 80%"),
            ("max_sessions", "| {:,} | 503 |"),
            ("max_connections_per_address", "| {} | closed at once |"),
            ("max_handshakes_per_address", "| {} at once, then 10 a second"),
            ("ping_timeout", "| {:.0f} s after a ping"),
            ("ping_interval", "every {:.0f} s; longer"),
            ("connect_timeout", "the first, and another after a refusal | {:.0f} s |"),
            ("attachment_timeout", "| the attachments of a message | {:.0f} s |"),
            ("upgrade_timeout", "| the upgrade to WebSocket | {:.0f} s |"),
            ("head_timeout", "| the head of a request | {:.0f} s |"),
            ("body_timeout", "| the body of a request | {:.0f} s without"),
            ("keep_alive_timeout", "HTTP connection | {:.0f} s |"),
            ("close_timeout", "| the answer to a close | {:.0f} s |"),
            (
                "close_timeout",
                "| what a client still sends after its request was refused | {:.0f} s |",
            ),
            ("drain_timeout", "| the shutdown in all | {:.0f} s |"),
        ],
    )
    def test_its_defaults_are_those_of_the_code(self, name: str, text: str) -> None:
        shown = page(self.PAGE).path.read_text(encoding="utf-8")
        assert text.format(getattr(Options(), name)) in shown
