"""The processes behind ``runserver_socketio``: gevent's patches, and a parent that waits.

gevent has to patch the standard library before anything else is imported, Django for one; a
management command is too late for that. So the command's process starts the same command again,
on patched modules (``patched``): in its own place, or below itself where it waits for changes. That
is left out where ``manage.py`` has patched by itself.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep
from typing import Any, NoReturn

from django.utils import autoreload
from gevent import monkey

RELOAD_EXIT_CODE = 3
"""What Django's autoreloader exits with when the code has changed."""

FAILURE = 1
"""What a child exits with whose code does not even start."""


def is_patched() -> bool:
    """Return whether gevent has patched the standard library in this process."""
    return bool(monkey.is_module_patched("socket") and monkey.is_module_patched("threading"))


def restart_patched() -> NoReturn:
    """Replace this process by one that runs the same command on patched modules."""
    arguments, environ = _patched_command()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(arguments[0], arguments, environ)


def supervise() -> int:
    """Run the command in a child process, anew whenever the child exits because code changed.

    Unlike Django's own loop, which kills its child a quarter of a second after Ctrl-C, this one
    passes the signals on and waits: the child has clients to say goodbye to.

    :return: the last child's exit status.
    """
    arguments, environ = _patched_command()
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
        if signalled:  # it came before there was a child to pass it on to
            child.terminate()
        status = child.wait()
        if signalled or status not in (RELOAD_EXIT_CODE, FAILURE):
            return status
        if status == FAILURE:
            if not reloaded:
                return status
            _wait_for_change(before)  # an error in what was just written will be mended
        reloaded = True


def _patched_command() -> tuple[list[str], dict[str, str]]:
    """Return what runs this process's command on patched modules: arguments and environment."""
    arguments = autoreload.get_child_arguments()
    start = len(arguments) - len(sys.argv[1:])
    head, rest = arguments[:start], arguments[start:]
    patched = ["-P", str(Path(__file__).with_name("patched.py"))]
    if head[-2] == "-m":
        head[-2:] = [*patched, "--module", head[-1]]
        folder = os.getcwd()
    else:
        head[-1:] = [*patched, head[-1]]
        folder = str(Path(sys.argv[0]).resolve().parent)
    return [*head, *rest], _environ_with(folder)


def _environ_with(folder: str) -> dict[str, str]:
    """Return the environment, with a folder importable first, as Python itself would have it."""
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": folder if not known else folder + os.pathsep + known}


def _wait_for_change(before: dict[Path, float]) -> None:
    """Wait until one of the project's modules is another than it was."""
    while _modification_times() == before:
        sleep(0.5)


def _modification_times() -> dict[Path, float]:
    return dict(autoreload.StatReloader().snapshot_files())
