"""Replaces the command's process by one whose standard library gevent has patched.

gevent has to patch the standard library before anything else is imported, for instance Django; a
management command runs too late for that. Therefore ``runserver_socketio`` starts once more, by
``python -m gevent.monkey``, with the same arguments. If ``manage.py`` has patched by itself, the
process is not replaced. With the reloader, the patched process is a child (``reloader``).
"""

import os
import sys
from importlib.machinery import ModuleSpec

from gevent import monkey

_COVERAGE = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
"""Environment variables with which ``coverage`` measures every process that inherits them."""


_KNOWN_AS = {"bdb": "pdb", "_pydevd_bundle": "pydevd"}
"""Modules with trace functions, and the names of their debuggers."""


def is_patched() -> bool:
    """Return whether gevent has patched the standard library in this process."""
    return all(map(monkey.is_module_patched, ("socket", "threading")))


def restart_unless_patched() -> None:
    """Replace this process by a patched one, unless it is patched already.

    Warn on stderr if a debugger, tracer or profiler ends with this process.

    :raises RuntimeError: if this process runs no program that another one could run.
    """
    if is_patched():
        return
    arguments, environ = patched_command()
    if lost := ", ".join(sorted(find_observers())):
        sys.stderr.write(
            f"WARNING: {lost} ends now, because a process that gevent has patched replaces this "
            "one. To keep this process, put `from gevent import monkey; monkey.patch_all()` at the "
            "top of manage.py.\n"
        )
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(arguments[0], arguments, environ)


def patched_command() -> tuple[list[str], dict[str, str]]:
    """Return the arguments and environment that run this process's command on patched modules.

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
    command = [sys.executable, *options, "-P", "-m", "gevent.monkey", *program, *arguments]
    return command, _environ_with(folder)


def _module_run() -> str | None:
    """Return the module or package that this process runs with ``-m``, if there is one.

    Of a profiler that was started with ``-m``, ignore the profiler, and find its program.
    """
    spec = _main_spec()
    if spec is None or spec.name == "__main__" or spec.origin != sys.argv[0]:
        return None  # a script, or a folder or archive with a ``__main__``
    return spec.name.removesuffix(".__main__")


def _main_spec() -> ModuleSpec | None:
    return getattr(sys.modules["__main__"], "__spec__", None)


def _environ_with(folder: str) -> dict[str, str]:
    """Return the environment, with a folder first on the import path, as Python puts it there."""
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": folder if not known else folder + os.pathsep + known}


def find_observers() -> set[str]:
    """Return the names of the debuggers, tracers and profilers of this process."""
    functions = [function for function in (sys.gettrace(), sys.getprofile()) if function]
    names = {getattr(f, "__module__", None) or type(f).__module__ for f in functions}
    if "__main__" in names and (spec := _main_spec()):
        names = names - {"__main__"} | {spec.name}
    monitoring = getattr(sys, "monitoring", None)  # since Python 3.12
    if monitoring is not None:
        names |= {monitoring.get_tool(number) or "" for number in range(6)}
    names |= {"debugpy", "pydevd"} & sys.modules.keys()
    names |= {"pdb"} & set(sys.orig_argv)  # which traces nothing while there is no breakpoint
    roots = {name.partition(".")[0] for name in names if name}
    found = {_KNOWN_AS.get(name, name) for name in roots}
    if not os.environ.keys().isdisjoint(_COVERAGE):
        found.discard("coverage")
    return found
