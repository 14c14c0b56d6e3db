"""``runserver_socketio``: addresses, errors, the banner, where handlers are found."""

import socket
from pathlib import Path

import pytest

import socketio_server
from tests.support.http import Http
from tests.support.project import MANAGE, make_project
from tests.support.server import ROOT, Server
from tests.support.tools import free_port, require
from tests.support.types import Connect, MakeConfiguration, StartServer
from tests.support.views import state

EVENTS = """\
from socketio_server import events

@events.on_connect
def welcome(request, socket, context):
    pass

@events.on_message(channel="^room-")
def talk(request, socket, context, message):
    return "from the project"

@events.on_message
def listen(request, socket, context, message):
    return "from the project"

@events.on_cluster("theme changed")
def forget(name):
    pass
"""


class TestAddresses:
    def test_a_bare_port(self, start_server: StartServer) -> None:
        server = start_server(arguments=["--noreload", "0"])
        assert server.address[0] == "127.0.0.1"
        assert state(server) == {"clients": {}, "channels": {}}

    def test_a_host_name(self, start_server: StartServer) -> None:
        server = start_server(arguments=["--noreload", "localhost:0"])
        assert server.url.startswith("http://localhost:")
        assert state(server) == {"clients": {}, "channels": {}}

    def test_ipv6_in_brackets(self, start_server: StartServer, connect: Connect) -> None:
        require("IPv6", found=has_ipv6())
        server = start_server(arguments=["--noreload", "[::1]:0"])
        assert server.url.startswith("http://[::1]:")
        for transport in ("polling", "websocket"):
            assert connect(transport, to=server).messages() == []

    def test_no_address_means_that_of_the_settings(self, start_server: StartServer) -> None:
        port = free_port("127.0.0.2")
        server = start_server(
            arguments=["--noreload"],
            settings={
                "SOCKETIO_HOST": "127.0.0.2",
                "SOCKETIO_PORT": port,
                "ALLOWED_HOSTS": ["127.0.0.2"],
            },
        )
        assert server.address == ("127.0.0.2", port)
        assert state(server) == {"clients": {}, "channels": {}}

    @pytest.mark.parametrize(
        ("address", "error"),
        [
            ("nonsense:", '"nonsense:" is not a valid port number or address:port pair.'),
            ("127.0.0.1:port", '"127.0.0.1:port" is not a valid port number or address:port pair.'),
            ("[::1:9000", '"[::1:9000" is not a valid port number or address:port pair.'),
            ("127.0.0.1:65536", "'65536' is not a valid port number."),
        ],
    )
    def test_a_bad_address_is_a_command_error(
        self, configure: MakeConfiguration, address: str, error: str
    ) -> None:
        finished = configure(arguments=["--noreload", address]).run()
        assert finished.returncode == 1
        assert finished.stderr == f"CommandError: {error}\n"

    @pytest.mark.parametrize("reloader", [["--noreload"], []])
    def test_a_port_that_is_taken_is_one_line_and_status_1(
        self, configure: MakeConfiguration, reloader: list[str]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            finished = configure(arguments=[*reloader, f"127.0.0.1:{port}"]).run()
        assert finished.returncode == 1
        (line,) = finished.stderr.splitlines()
        assert line.startswith("Error: That port is already in use: ")
        assert "`runserver_socketio 9001`" in line
        assert "Starting server" not in finished.stdout

    def test_an_address_of_another_machine_is_one_line_and_status_1(
        self, configure: MakeConfiguration
    ) -> None:
        finished = configure(arguments=["--noreload", "192.0.2.1:0"]).run()
        assert finished.returncode == 1
        assert finished.stderr == "Error: That IP address can't be assigned to.\n"


class TestBanner:
    def test_tells_where_the_server_is_and_which_handlers_it_found(
        self, start_server: StartServer, tmp_path: Path
    ) -> None:
        make_project(tmp_path, {"events.py": EVENTS})
        output = start_server(manage=Path("manage.py"), cwd=tmp_path).output
        assert "using settings 'site_settings'" in output
        assert f"socketio_server {socketio_server.__version__} at /socket.io/" in output
        assert "Handlers in events: on_connect 1, on_message 2, theme changed 1\n" in output
        assert "^room-" not in output

    def test_at_verbosity_2_tells_each_handler_with_its_pattern(
        self, start_server: StartServer, tmp_path: Path
    ) -> None:
        manage = make_project(tmp_path, {"events.py": EVENTS})
        server = start_server(manage=manage, arguments=["--noreload", "-v", "2", "127.0.0.1:0"])
        assert "on_connect: events.welcome\n" in server.output
        assert "on_message: events.talk for channels '^room-'\n" in server.output
        assert "on_message: events.listen\n" in server.output

    def test_tells_of_handlers_that_are_registered_elsewhere(
        self, start_server: StartServer, tmp_path: Path
    ) -> None:
        """In the URLconf, or in a module that it imports."""
        urls = "import elsewhere\nfrom tests.project.urls import urlpatterns\n"
        manage = make_project(
            tmp_path,
            {"events.py": EVENTS, "elsewhere.py": EVENTS, "site_urls.py": urls},
            settings='ROOT_URLCONF = "site_urls"\n',
        )
        output = start_server(manage=manage, cwd=tmp_path).output
        assert "Handlers in events: on_connect 1, on_message 2, theme changed 1\n" in output
        assert "Handlers in elsewhere: on_connect 1, on_message 2, theme changed 1\n" in output

    def test_says_so_where_there_are_no_handlers(self, start_server: StartServer) -> None:
        output = start_server(events=[]).output
        assert "No handlers: found no events.py in any app of INSTALLED_APPS" in output


SIGNAL_DURING = """\
import os, signal
from socketio_server.management.commands.runserver_socketio import Command

original = Command.{step}

def step(self, *args, **kwargs):
    os.kill(os.getpid(), signal.SIGINT)
    return original(self, *args, **kwargs)

Command.{step} = step
"""


class TestASignalDuringTheStart:
    @pytest.mark.parametrize("step", ["check_migrations", "_start_server", "_print_banner"])
    @pytest.mark.parametrize("reloader", [["--noreload"], []])
    def test_ends_the_process(
        self, configure: MakeConfiguration, tmp_path: Path, step: str, reloader: list[str]
    ) -> None:
        manage = make_project(tmp_path, {"events.py": SIGNAL_DURING.format(step=step)})
        arguments = [*reloader, f"127.0.0.1:{free_port()}"]
        finished = configure(manage=manage, arguments=arguments).run()

        assert finished.returncode == 0
        assert "Traceback" not in finished.stderr


class TestDebug:
    @pytest.mark.parametrize(
        ("address", "debug", "warns"),
        [("0.0.0.0:0", True, True), ("127.0.0.1:0", True, False), ("0.0.0.0:0", False, False)],
    )
    def test_where_others_can_reach_it_is_warned_of(
        self, start_server: StartServer, address: str, debug: bool, warns: bool
    ) -> None:
        server = start_server(arguments=["--noreload", address], settings={"DEBUG": debug})
        server.stop()
        assert ("WARNING: DEBUG is on, and others can reach" in server.output) is warns


class TestWhereHandlersAreFound:
    def test_beside_manage_py_from_whichever_folder_it_is_started(
        self, start_server: StartServer, connect: Connect, tmp_path: Path
    ) -> None:
        make_project(tmp_path / "project", {"events.py": EVENTS})
        server = start_server(manage=Path("project/manage.py"), cwd=tmp_path)
        assert connect(to=server).call("message", "hello") == "from the project"

    def test_not_among_what_lies_in_another_folder_that_it_is_started_in(
        self, start_server: StartServer, connect: Connect, tmp_path: Path
    ) -> None:
        manage = make_project(tmp_path / "project", {"events.py": EVENTS})
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "events.py").write_text("raise RuntimeError('not mine')")
        server = start_server(manage=manage, cwd=tmp_path / "elsewhere")
        assert connect(to=server).call("message", "hello") == "from the project"

    def test_in_every_app_and_in_the_modules_that_the_settings_name(
        self, start_server: StartServer, tmp_path: Path
    ) -> None:
        manage = make_project(
            tmp_path,
            {
                "chat/__init__.py": "",
                "chat/events.py": EVENTS,
                "quiet/__init__.py": "",
                "more.py": EVENTS,
                "events.py": "raise RuntimeError('nobody named this')",
            },
            settings="INSTALLED_APPS += ['chat', 'quiet']\nSOCKETIO_EVENTS = ['more']\n",
        )
        output = start_server(manage=manage).output
        counts = "on_connect 2, on_message 4, theme changed 2"
        assert f"Handlers in chat.events, more: {counts}\n" in output

    @pytest.mark.parametrize(
        ("place", "text", "error"),
        [
            ("chat/events.py", "import no_such_module", "ModuleNotFoundError: No module named"),
            ("chat/events.py", "1 / 0", "ZeroDivisionError: "),
            ("events.py", "from os import no_such_name", "ImportError: cannot import name"),
        ],
    )
    def test_what_goes_wrong_there_is_raised_at_start(
        self, configure: MakeConfiguration, tmp_path: Path, place: str, text: str, error: str
    ) -> None:
        files = {"chat/__init__.py": "", "events.py": "", place: text}
        manage = make_project(tmp_path, files, settings="INSTALLED_APPS += ['chat']\n")
        finished = configure(manage=manage).run()
        assert finished.returncode == 1
        assert error in finished.stderr
        assert str(tmp_path / place) in finished.stderr
        assert "Starting server" not in finished.stdout

    def test_a_setting_that_is_wrong_is_a_system_check_error(
        self, configure: MakeConfiguration
    ) -> None:
        finished = configure(settings={"SOCKETIO_PING_TIMEOUT": "soon"}).run()
        assert finished.returncode == 1
        assert "(socketio_server.E001) SOCKETIO_PING_TIMEOUT" in finished.stderr


class TestPatches:
    """The process starts anew with gevent's patches."""

    NOTE = "open('starts', 'a').write('started ')\n"

    @pytest.fixture
    def manage(self, tmp_path: Path) -> Path:
        """A project with an app that notes when it is loaded."""
        return make_project(
            tmp_path,
            {"chat/__init__.py": self.NOTE, "events.py": EVENTS},
            settings="INSTALLED_APPS += ['chat']\n",
        )

    @pytest.mark.parametrize("arguments", [["--noreload", "127.0.0.1:0"], ["127.0.0.1:0"]])
    def test_come_by_starting_once_more(
        self,
        start_server: StartServer,
        connect: Connect,
        manage: Path,
        tmp_path: Path,
        arguments: list[str],
    ) -> None:
        server = start_server(manage=manage, arguments=arguments)
        assert connect(to=server).call("message", "hello") == "from the project"
        assert (tmp_path / "starts").read_text() == "started started "

    def test_are_not_repeated_where_manage_py_has_patched(
        self, start_server: StartServer, connect: Connect, manage: Path, tmp_path: Path
    ) -> None:
        manage.write_text(f"from gevent import monkey; monkey.patch_all()\n{MANAGE}")
        server = start_server(manage=manage)
        assert connect(to=server).call("message", "hello") == "from the project"
        assert (tmp_path / "starts").read_text() == "started "

    def test_leave_errors_of_the_settings_as_they_are(
        self, configure: MakeConfiguration, manage: Path
    ) -> None:
        settings = manage.with_name("site_settings.py")
        settings.write_text(settings.read_text() + "import no_such_module\n")
        finished = configure(manage=manage).run()
        assert finished.returncode == 1
        assert finished.stderr.endswith("ModuleNotFoundError: No module named 'no_such_module'\n")


class TestStaticFiles:
    @pytest.mark.parametrize(
        ("debug", "argument", "status"),
        [(True, [], 200), (True, ["--nostatic"], 404), (False, ["--insecure"], 200)],
    )
    def test_are_served_with_debug_as_runserver_does(
        self, start_server: StartServer, debug: bool, argument: list[str], status: int
    ) -> None:
        server = start_server(
            arguments=["--noreload", *argument, "127.0.0.1:0"], settings={"DEBUG": debug}
        )
        file = Path("socketio_server/django-socketio.js")
        with Http(server.address) as http:
            response = http.get(f"/static/{file}")
        assert response.status == status
        if status == 200:
            source = ROOT / "socketio_server" / "static" / file
            assert response.body == source.read_bytes()
            assert "javascript" in response.headers["content-type"]

    def test_a_project_without_them_needs_no_settings_for_them(
        self, start_server: StartServer, tmp_path: Path
    ) -> None:
        without = "INSTALLED_APPS.remove('django.contrib.staticfiles')\nSTATIC_URL = None\n"
        manage = make_project(tmp_path, {"events.py": EVENTS}, settings=f"DEBUG = True\n{without}")
        assert state(start_server(manage=manage)) == {"clients": {}, "channels": {}}

    def test_are_not_served_without_debug(self, server: Server) -> None:
        with Http(server.address) as http:
            assert http.get("/static/socketio_server/django-socketio.js").status == 404


class TestOtherPages:
    def test_are_djangos(self, server: Server) -> None:
        with Http(server.address) as http:
            assert http.get("/state/").headers["content-type"] == "application/json"
            assert http.get("/nowhere/").status == 404

    def test_have_no_body_when_asked_with_head(self, server: Server) -> None:
        with Http(server.address) as http:
            http.send_request("HEAD", "/state/", headers={"Connection": "close"})
            assert http.read_response("HEAD").status == 200
            assert http.read_to_the_end() == b""


def has_ipv6() -> bool:
    """Return whether this machine has an IPv6 loopback address."""
    try:
        free_port("::1")
    except OSError:
        return False
    return True
