"""Whether the command's process is replaced by a patched one, with what, and what is lost."""

import os
import re
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
from gevent import monkey

import __main__
from socketio_server.serving.process import restart
from tests.support.server import ROOT
from tests.support.tools import PATIENCE


class Replaced(Exception):
    """Stands for the end of this process's program."""

    def __init__(self, path: str, arguments: list[str], environ: dict[str, str]) -> None:
        super().__init__(path)
        self.path = path
        self.arguments = arguments
        self.environ = environ


@pytest.fixture(autouse=True)
def execve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise an error where the process would be replaced."""

    def execve(path: str, arguments: list[str], environ: dict[str, str]) -> NoReturn:
        raise Replaced(path, arguments, environ)

    monkeypatch.setattr(os, "execve", execve)


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process seem to be patched."""
    monkeypatch.setattr(monkey, "is_module_patched", lambda name: True)


class TestIsPatched:
    def test_the_tests_own_process_is_not(self) -> None:
        assert not restart.is_patched()

    @pytest.mark.usefixtures("patched")
    def test_one_whose_sockets_and_threads_are_gevents_is(self) -> None:
        assert restart.is_patched()


class TestRestartUnlessPatched:
    """When the command runs: the same command on patched modules, in place of this process."""

    def restart(self) -> Replaced:
        with pytest.raises(Replaced) as raised:
            restart.restart_unless_patched()
        return raised.value

    @pytest.mark.usefixtures("patched")
    def test_a_process_that_is_patched_stays(self) -> None:
        restart.restart_unless_patched()

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
        expected = ["-P", "-m", "gevent.monkey", str(script), *arguments]
        assert replaced.arguments[-len(expected) :] == expected

    def test_a_folder_or_an_archive(self, script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What Python calls its module says nothing."""
        monkeypatch.setattr(__main__, "__spec__", ModuleSpec("__main__", None))
        monkeypatch.setattr(sys, "argv", [str(script.parent), "runserver_socketio"])

        assert self.restart().arguments[-2:] == [str(script.parent), "runserver_socketio"]

    @pytest.mark.parametrize(
        ("name", "module"),
        [
            ("django.__main__", "django"),
            ("mysite.manage", "mysite.manage"),
            ("manage", "manage"),
        ],
    )
    def test_a_module(
        self, script: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
    ) -> None:
        monkeypatch.setattr(__main__, "__spec__", ModuleSpec(name, None, origin=str(script)))
        monkeypatch.setattr(sys, "argv", [str(script), "runserver_socketio", "9000"])
        replaced = self.restart()

        expected = ["-P", "-m", "gevent.monkey", "--module", module, "runserver_socketio", "9000"]
        assert replaced.arguments[-len(expected) :] == expected

    def test_what_is_neither_is_an_error(
        self, script: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["-c", "runserver_socketio"])

        with pytest.raises(RuntimeError, match="There is no script -c"):
            restart.restart_unless_patched()

    @pytest.mark.parametrize("option", ["error", "ignore::DeprecationWarning"])
    def test_options_of_the_interpreter_stay(
        self, script: Path, monkeypatch: pytest.MonkeyPatch, option: str
    ) -> None:
        monkeypatch.setattr(sys, "warnoptions", [option])
        monkeypatch.setattr(sys, "_xoptions", {"dev": True, "frozen_modules": "off"})
        arguments = self.restart().arguments

        options = [f"-W{option}", "-Xdev", "-Xfrozen_modules=off"]
        assert arguments[1 : arguments.index("-P")] == options

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


class TestObservers:
    """Debuggers and the like end with the process that is replaced, which is said on stderr."""

    PROGRAM = (
        "from socketio_server.serving.process import restart\nrestart.restart_unless_patched()\n"
    )

    def run(self, folder: Path, *launcher: str, measured: bool = False) -> str:
        """Run a program that is to be patched, below another one; return what stderr got."""
        (folder / "manage.py").write_text(self.PROGRAM + "print('patched')\n")
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        environ.pop("COVERAGE_PROCESS_START", None)
        environ.pop("COVERAGE_PROCESS_CONFIG", None)
        if measured:
            environ["COVERAGE_PROCESS_START"] = os.devnull
        done = subprocess.run(
            [sys.executable, *launcher, "manage.py"],
            cwd=folder,
            env=environ,
            input="continue\n",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert "patched" in done.stdout, done.stderr
        return done.stderr

    @pytest.mark.parametrize(
        ("launcher", "name"),
        [
            (["-m", "pdb"], "pdb"),
            (["-m", "cProfile"], "cProfile"),
            (["-m", "trace", "--trace"], "trace"),
            (["-m", "coverage", "run"], "coverage"),
        ],
    )
    def test_one_that_is_lost_is_named_with_the_remedy(
        self, tmp_path: Path, launcher: list[str], name: str
    ) -> None:
        (line,) = self.run(tmp_path, *launcher).splitlines()

        assert line.startswith("WARNING: ")
        assert re.search(rf"\b{name}\b", line)
        assert "`from gevent import monkey; monkey.patch_all()` at the top of manage.py" in line

    def test_a_debugger_that_traces_nothing_at_the_moment_is_named(
        self, script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "debugpy", ModuleType("debugpy"))
        with pytest.raises(Replaced):
            restart.restart_unless_patched()

        assert "debugpy" in capsys.readouterr().err

    def test_without_one_nothing_is_said(self, tmp_path: Path) -> None:
        assert self.run(tmp_path) == ""

    def test_coverage_that_the_environment_starts_anew_is_not_lost(self, tmp_path: Path) -> None:
        assert self.run(tmp_path, "-m", "coverage", "run", measured=True) == ""
