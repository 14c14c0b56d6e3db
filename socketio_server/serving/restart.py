"""Whether this process has to start anew on modules that gevent has patched, and how.

gevent has to patch the standard library before anything else is imported, Django for one; a
management command is too late for that. So the process of ``runserver_socketio`` is replaced by one
that runs the same command on patched modules (``patched``). That is decided here, at the first of
two moments that comes:

* When this package is imported in a process whose command line says that it is to run the server
  (:func:`restart_early`): as a rule by Django, which begins to load the apps. All that would be
  loaded from then on, only to be thrown away, takes longer than what was loaded until then.
* When the command runs (:func:`restart_unless_patched`), where the command line did not say so: the
  option is spelled in another way, or another program calls the command.

Neither does anything where ``manage.py`` has patched by itself. With the reloader the process is
not replaced but becomes the parent (``process``), which has to know the project's files.

The package imports this module before everything else, hence only the standard library here.
"""

import os
import sys

COMMAND = "runserver_socketio"
PATCHED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "patched.py")


def is_patched() -> bool:
    """Return whether gevent has patched the standard library in this process."""
    monkey = sys.modules.get("gevent.monkey")  # whoever patches has imported it
    return monkey is not None and all(map(monkey.is_module_patched, ("socket", "threading")))


def restart_early() -> None:
    """Replace this process if its command line says that it runs the server, and it is not patched.

    The command line is what the process was started with: a child that ``multiprocessing`` makes
    gets its parent's ``sys.argv``.
    """
    arguments = sys.argv[1:]
    if (
        arguments[:1] == [COMMAND]
        and "--noreload" in arguments
        and sys.orig_argv[-len(arguments) :] == arguments
        and not is_patched()
    ):
        _restart()


def restart_unless_patched() -> None:
    """Replace this process if it is not patched."""
    if not is_patched():
        _restart()


def patched_command() -> tuple[list[str], dict[str, str]]:
    """Return what runs this process's command on patched modules: arguments and environment.

    :raises RuntimeError: if this process runs no program that another one could run.
    """
    options = [f"-W{option}" for option in sys.warnoptions]
    for name, value in sys._xoptions.items():
        options.append(f"-X{name}" if value is True else f"-X{name}={value}")
    script, *arguments = sys.argv
    module = _module_run()
    if module is not None:
        program = ["--module", module]
        folder = os.getcwd()
    elif os.path.exists(script):
        program = [script]
        folder = os.path.dirname(os.path.realpath(script))
    else:
        raise RuntimeError(f"There is no script {script} that could be run on patched modules.")
    command = [sys.executable, *options, "-P", PATCHED, *program, *arguments]
    return command, _environ_with(folder)


def _module_run() -> str | None:
    """Return the module or package that this process runs with ``-m``, if it does so."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None or spec.name == "__main__":  # that of a folder or an archive
        return None
    name: str = spec.name
    return name.removesuffix(".__main__")


def _restart() -> None:
    arguments, environ = patched_command()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(arguments[0], arguments, environ)


def _environ_with(folder: str) -> dict[str, str]:
    """Return the environment, with a folder importable first, as Python itself would have it."""
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": folder if not known else folder + os.pathsep + known}
