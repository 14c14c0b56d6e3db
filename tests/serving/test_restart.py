"""Whether the command's process starts anew on patched modules, when, and with what."""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import NoReturn

import pytest
from gevent import monkey

import __main__
from socketio_server.serving import restart

NOW = ["runserver_socketio", "--noreload"]


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

    def test_one_in_which_nobody_has_imported_gevent_is_not(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "gevent.monkey")

        assert not restart.is_patched()


class TestRestartEarly:
    """When the package is imported."""

    @pytest.fixture(autouse=True)
    def start(self, script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process seem to have been started with the server's command line."""
        self.script = script
        self.monkeypatch = monkeypatch
        self.started_with(NOW)

    def started_with(self, arguments: Sequence[str], *, argv: Sequence[str] | None = None) -> None:
        """Let the process's command line end with these arguments; ``argv``: what it says of it."""
        said = arguments if argv is None else argv
        self.monkeypatch.setattr(sys, "argv", [str(self.script), *said])
        self.monkeypatch.setattr(
            sys, "orig_argv", [sys.executable, "-Wdefault", str(self.script), *arguments]
        )

    @pytest.mark.parametrize(
        "arguments",
        [
            NOW,
            ["runserver_socketio", "127.0.0.1:9000", "--noreload", "-v", "2"],
            ["runserver_socketio", "--settings", "other", "--noreload"],
        ],
    )
    def test_a_process_that_is_to_run_the_server_is_replaced(
        self, arguments: Sequence[str]
    ) -> None:
        self.started_with(arguments)
        with pytest.raises(Replaced) as raised:
            restart.restart_early()

        assert raised.value.arguments[-len(arguments) :] == arguments

    @pytest.mark.parametrize(
        "arguments",
        [
            pytest.param([], id="none"),
            pytest.param(["--noreload"], id="no command"),
            pytest.param(["runserver", "--noreload"], id="Django's"),
            pytest.param(["help", "runserver_socketio"], id="help"),
            pytest.param(["test", "runserver_socketio", "--noreload"], id="another command's"),
        ],
    )
    def test_one_that_is_to_do_something_else_stays(self, arguments: Sequence[str]) -> None:
        self.started_with(arguments)

        restart.restart_early()

    def test_the_parent_of_a_server_that_reloads_stays(self) -> None:
        self.started_with(["runserver_socketio", "127.0.0.1:9000"])

        restart.restart_early()

    @pytest.mark.usefixtures("patched")
    def test_one_that_is_patched_stays(self) -> None:
        restart.restart_early()

    def test_a_child_that_multiprocessing_gave_its_parents_arguments_stays(self) -> None:
        self.started_with(["-c", "from multiprocessing.spawn import spawn_main"], argv=NOW)

        restart.restart_early()


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
        expected = ["-P", restart.PATCHED, str(script), *arguments]
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
        monkeypatch.setattr(__main__, "__spec__", ModuleSpec(name, None))
        monkeypatch.setattr(sys, "argv", [str(script), "runserver_socketio", "9000"])
        replaced = self.restart()

        expected = ["-P", restart.PATCHED, "--module", module, "runserver_socketio", "9000"]
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
