"""The parent of a ``runserver_socketio`` that reloads: what it starts, and how it waits."""

import signal
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from django.utils import autoreload

import __main__
from socketio_server.serving.process import reloader, restart

STATUS_OF_SIGNAL = 40
"""What the children of these tests add to a signal's number, and exit with."""


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

        assert reloader.supervise() == status

    @pytest.mark.parametrize(
        ("observers", "named"), [(["pdb", "debugpy"], "pdb"), (["debugpy", "pydevd"], ""), ([], "")]
    )
    def test_what_sees_nothing_of_the_child_is_named_with_the_remedy(
        self,
        script: Path,
        observers: list[str],
        named: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Debuggers that follow a process into its children are not."""
        script.write_text("")
        monkeypatch.setattr(restart, "find_observers", lambda: set(observers))
        reloader.supervise()

        said = capsys.readouterr().err
        assert said.startswith(f"WARNING: {named} sees nothing of the server") is bool(named)
        assert ("the option --noreload" in said) is bool(named)

    def test_a_child_that_exits_for_a_reload_is_started_again(self, script: Path) -> None:
        script.write_text(
            "import os, sys\n"
            "with open('starts', 'a+') as file:\n"
            "    file.write(f\"{os.environ['RUN_MAIN']} {sys.argv[1:]}\\n\")\n"
            "    file.seek(0)\n"
            "    starts = len(file.readlines())\n"
            "sys.exit(3 if starts < 3 else 7)\n"
        )

        assert reloader.supervise() == 7
        assert Path("starts").read_text() == "true []\n" * 3

    def test_the_child_s_modules_are_patched_from_its_start(self, script: Path) -> None:
        script.write_text(
            "import sys\n"
            "from gevent import monkey\n"
            "early = [n for n in ('socket', 'threading') if not monkey.is_module_patched(n)]\n"
            "sys.exit(early != [] or 'django' in sys.modules or __name__ != '__main__')\n"
        )

        assert reloader.supervise() == 0

    def test_a_module_is_run_as_one(self, script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(__main__, "__spec__", ModuleSpec("manage", None, origin=str(script)))
        script.write_text("import sys\nsys.exit(__spec__.name != 'manage')")

        assert reloader.supervise() == 0

    def test_the_child_gets_the_same_arguments(
        self, script: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "argv", [str(script), "runserver_socketio", "9000"])
        script.write_text("import sys\nsys.exit(sys.argv[1:] != ['runserver_socketio', '9000'])")

        assert reloader.supervise() == 0

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

        assert reloader.supervise() == STATUS_OF_SIGNAL + signum
        assert Path("goodbye").exists()

    def test_the_signal_that_asks_for_the_counters_is_passed_on_and_ends_nothing(
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

        assert reloader.supervise() == STATUS_OF_SIGNAL


class TestReloadExitCode:
    def test_it_is_what_django_s_reloader_exits_with(self) -> None:
        with pytest.raises(SystemExit) as raised:
            autoreload.trigger_reload("changed.py")

        assert raised.value.code == reloader.RELOAD_EXIT_CODE
