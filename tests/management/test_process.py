"""The processes behind ``runserver_socketio``: how they are started, and how a parent waits."""

import os
import signal
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import NoReturn

import pytest
from django.utils import autoreload

import __main__
from socketio_server.management import process

PATCHED = str(Path(process.__file__).with_name("patched.py"))

STATUS_OF_SIGNAL = 40
"""What the children of these tests add to a signal's number, and exit with."""


class Replaced(Exception):
    """Stands for the end of this process's program."""

    def __init__(self, path: str, arguments: list[str], environ: dict[str, str]) -> None:
        super().__init__(path)
        self.path = path
        self.arguments = arguments
        self.environ = environ


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that this process seems to have been started with, in the working directory."""
    made = tmp_path / "manage.py"
    made.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(made)])
    monkeypatch.setattr(__main__, "__spec__", None)
    return made


class TestIsPatched:
    def test_the_tests_own_process_is_not(self) -> None:
        assert not process.is_patched()


class TestRestartPatched:
    """The same command on patched modules, in place of this process."""

    @pytest.fixture(autouse=True)
    def execve(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def execve(path: str, arguments: list[str], environ: dict[str, str]) -> NoReturn:
            raise Replaced(path, arguments, environ)

        monkeypatch.setattr(os, "execve", execve)

    def restart(self) -> Replaced:
        with pytest.raises(Replaced) as raised:
            process.restart_patched()
        return raised.value

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["runserver_socketio"],
            ["runserver_socketio", "0.0.0.0:9000", "--noreload", "-v", "2"],
            ["runserver_socketio", "-m", "strange"],
        ],
    )
    def test_a_script(
        self, script: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", [str(script), *arguments])
        replaced = self.restart()

        assert replaced.path == sys.executable
        assert replaced.arguments[0] == sys.executable
        expected = ["-P", PATCHED, str(script), *arguments]
        assert replaced.arguments[-len(expected) :] == expected

    @pytest.mark.parametrize(
        ("name", "module"), [("django.__main__", "django"), ("mysite.manage", "mysite.manage")]
    )
    def test_a_module(
        self, script: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
    ) -> None:
        monkeypatch.setattr(__main__, "__spec__", ModuleSpec(name, None))
        monkeypatch.setattr(sys, "argv", [str(script), "runserver_socketio", "9000"])
        replaced = self.restart()

        expected = ["-P", PATCHED, "--module", module, "runserver_socketio", "9000"]
        assert replaced.arguments[-len(expected) :] == expected

    @pytest.mark.parametrize("option", ["error", "ignore::DeprecationWarning"])
    def test_options_of_the_interpreter_stay(
        self, script: Path, monkeypatch: pytest.MonkeyPatch, option: str
    ) -> None:
        monkeypatch.setattr(sys, "warnoptions", [option])
        replaced = self.restart()

        assert f"-W{option}" in replaced.arguments
        assert replaced.arguments.index(f"-W{option}") < replaced.arguments.index(PATCHED)

    def test_the_environment_stays(self, script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOME_VARIABLE", "some value")

        assert self.restart().environ["SOME_VARIABLE"] == "some value"

    def test_a_script_in_another_folder_finds_its_modules(
        self, script: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Python puts a script's folder in front of the path; ``-m`` puts the working directory."""
        monkeypatch.chdir("/")
        monkeypatch.setenv("PYTHONPATH", "/already/there")
        path = self.restart().environ["PYTHONPATH"].split(os.pathsep)

        assert path == [str(script.parent), "/already/there"]

    def test_it_does_so_where_no_path_was_set(
        self, script: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir("/")
        monkeypatch.delenv("PYTHONPATH", raising=False)

        assert self.restart().environ["PYTHONPATH"] == str(script.parent)


# --- The parent -------------------------------------------------------------------------------


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@pytest.fixture
def signal_handlers() -> Iterator[None]:
    """Put the test process's own signal handlers back in the end."""
    kept = {signum: signal.getsignal(signum) for signum in SIGNALS}
    yield
    for signum, handler in kept.items():
        signal.signal(signum, handler)


@pytest.mark.usefixtures("signal_handlers")
class TestSupervise:
    """Real child processes, of a few lines each."""

    @pytest.mark.parametrize("status", [0, 1, 5])
    def test_it_returns_the_child_s_exit_status(self, script: Path, status: int) -> None:
        script.write_text(f"raise SystemExit({status})")

        assert process.supervise() == status

    def test_a_child_that_exits_for_a_reload_is_started_again(self, script: Path) -> None:
        script.write_text(
            "import os, sys\n"
            "with open('starts', 'a+') as file:\n"
            "    file.write(f\"{os.environ['RUN_MAIN']} {sys.argv[1:]}\\n\")\n"
            "    file.seek(0)\n"
            "    starts = len(file.readlines())\n"
            "sys.exit(3 if starts < 3 else 7)\n"
        )

        assert process.supervise() == 7
        assert Path("starts").read_text() == "true []\n" * 3

    def test_the_child_s_modules_are_patched_from_its_start(self, script: Path) -> None:
        script.write_text(
            "import sys\n"
            "from gevent import monkey\n"
            "early = [n for n in ('socket', 'threading') if not monkey.is_module_patched(n)]\n"
            "sys.exit(early != [] or 'django' in sys.modules or __name__ != '__main__')\n"
        )

        assert process.supervise() == 0

    def test_a_module_is_run_as_one(self, script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(__main__, "__spec__", ModuleSpec("manage", None))
        script.write_text("import sys\nsys.exit(__spec__.name != 'manage')")

        assert process.supervise() == 0

    def test_the_child_gets_the_same_arguments(
        self, script: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "argv", [str(script), "runserver_socketio", "9000"])
        script.write_text("import sys\nsys.exit(sys.argv[1:] != ['runserver_socketio', '9000'])")

        assert process.supervise() == 0

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
    def test_signals_are_passed_on_and_the_child_s_end_is_waited_for(
        self, script: Path, signum: signal.Signals
    ) -> None:
        """The child sends its parent the signal, and exits when it gets it back."""
        script.write_text(
            "import os, signal, sys, time\n"
            "parent = os.getppid()\n"
            "def stop(signum, frame):\n"
            "    open('goodbye', 'w').close()\n"
            f"    sys.exit({STATUS_OF_SIGNAL} + signum)\n"
            f"signal.signal({int(signum)}, stop)\n"
            "for _ in range(50):\n"
            f"    os.kill(parent, {int(signum)})\n"
            "    time.sleep(0.2)\n"
        )

        assert process.supervise() == STATUS_OF_SIGNAL + signum
        assert Path("goodbye").exists()

    def test_so_is_the_one_that_asks_for_the_counters_which_ends_nothing(
        self, script: Path
    ) -> None:
        """As above, with a handler that goes on."""
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # by itself it would end the tests
        script.write_text(
            "import os, signal, sys, time\n"
            "asked = []\n"
            "signal.signal(signal.SIGUSR1, lambda *args: asked.append(args))\n"
            "for _ in range(50):\n"
            "    os.kill(os.getppid(), signal.SIGUSR1)\n"
            "    time.sleep(0.2)\n"
            "    if asked:\n"
            f"        sys.exit({STATUS_OF_SIGNAL})\n"
        )

        assert process.supervise() == STATUS_OF_SIGNAL


class TestReloadExitCode:
    def test_it_is_what_django_s_reloader_exits_with(self) -> None:
        with pytest.raises(SystemExit) as raised:
            autoreload.trigger_reload("changed.py")

        assert raised.value.code == process.RELOAD_EXIT_CODE
