"""A ``runserver_socketio`` that reloads: its parent starts the server, and waits for changes.

The server runs below it on patched modules (``restart``); the parent itself is not patched. Both
put off what the project's code raises while Django starts.
"""

import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

from django.utils import autoreload

from socketio_server.serving.process import restart

COMMAND = "runserver_socketio"

RELOAD_EXIT_CODE = 3
"""Exit status of Django's autoreloader after a change of the code."""

_FOLLOWERS = {"debugpy", "pydevd"}
"""Debuggers that follow a process into its children."""

FAILURE = 1
"""Exit status of a child whose code does not start."""


def put_off_errors(func: Callable[[], None]) -> None:
    """Call a function that imports code of the project, while Django starts.

    If the command is to run with its reloader, put an exception off: the server's process raises it
    when it starts to serve, and waits until one of the files is changed that the exception came
    through. Django does the same for its own ``runserver``, which it knows by its name.
    """
    if sys.argv[1:2] != [COMMAND] or "--noreload" in sys.argv:
        func()
        return

    def call() -> None:
        try:
            func()
        except Exception as error:
            files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
            autoreload.autoreload_started.connect(partial(_watch, files), weak=False)
            raise

    with suppress(Exception):
        autoreload.check_errors(call)()


def _watch(files: list[Path], sender: autoreload.BaseReloader, **kwargs: Any) -> None:
    """Have files watched besides those of the imported modules."""
    for file in filter(Path.is_file, files):
        sender.watch_dir(file.parent, file.name)


def supervise() -> int:
    """Run the command in a child process, and again whenever it exits because code changed.

    Django's own loop kills its child a quarter of a second after Ctrl-C. This one passes signals on
    and waits, because the child has to say goodbye to clients.

    :return: the last child's exit status.
    """
    if blind := ", ".join(sorted(restart.find_observers() - _FOLLOWERS)):
        sys.stderr.write(
            f"WARNING: {blind} sees nothing of the server, which the reloader runs in another "
            "process: give runserver_socketio the option --noreload.\n"
        )
    arguments, environ = restart.patched_command()
    environ[autoreload.DJANGO_AUTORELOAD_ENV] = "true"
    child: subprocess.Popen[bytes] | None = None
    signalled = False

    def pass_on(signum: int, frame: Any) -> None:
        nonlocal signalled
        signalled = True
        if child is not None:
            child.send_signal(signum)

    def ask_child(signum: int, frame: Any) -> None:
        if child is not None:
            child.send_signal(signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, pass_on)
    signal.signal(signal.SIGUSR1, ask_child)  # for its counters
    reloaded = False
    while True:
        before = _modification_times()
        child = subprocess.Popen(arguments, env=environ, close_fds=False)
        if signalled:  # the signal arrived before this child was started
            child.terminate()
        status = child.wait()
        if signalled or status not in (RELOAD_EXIT_CODE, FAILURE):
            return status
        if status == FAILURE:
            if not reloaded and _modification_times() == before:
                return status
            _wait_for_change(before)  # the developer will correct the error
        reloaded = True


def _wait_for_change(before: dict[Path, float]) -> None:
    """Wait until one of the project's modules has changed."""
    while _modification_times() == before:
        sleep(0.5)


def _modification_times() -> dict[Path, float]:
    return dict(autoreload.StatReloader().snapshot_files())
