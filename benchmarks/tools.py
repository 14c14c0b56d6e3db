"""Sets up what is measured with: C programs, the peers' packages, our project's database."""

import hashlib
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.places import HERE, PROJECT, ROOT, Workshop, say
from benchmarks.servers import Failure, environment

PROGRAMS = ("loadgen", "limit", "calib")


def _run(command: Sequence[str], **options: object) -> None:
    """Run a command; show what it says only if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise Failure(f"{' '.join(command)}:\n{done.stdout}{done.stderr}".rstrip())


def _is_current(stamp: Path, sources: Iterable[Path]) -> bool:
    """Return whether what the stamp stands for was made from these files as they are."""
    return stamp.exists() and stamp.read_text(encoding="utf-8") == _digest(sources)


def _digest(sources: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def compile_programs(workshop: Workshop) -> None:
    """Compile the load generator, the limit and the calibration."""
    for needed, package in (("gcc", "gcc"), ("taskset", "util-linux")):
        if shutil.which(needed) is None:
            raise Failure(f"{needed} is not installed (on Debian: {package})")
    workshop.programs.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        source, stamp = HERE / "c" / f"{name}.c", workshop.programs / f"{name}.sha256"
        if not _is_current(stamp, [source]):
            program = workshop.programs / name
            _run(["gcc", "-O2", "-Wall", "-Wextra", "-o", str(program), str(source)])
            stamp.write_text(_digest([source]), encoding="utf-8")


def install_python(workshop: Workshop) -> None:
    """Make the Python environment of the peers and the plots."""
    requirements = HERE / "requirements.txt"
    stamp = workshop.folder / "venv.sha256"
    if _is_current(stamp, [requirements]):
        return
    say("Installing the peers' Python packages …")
    _run([sys.executable, "-m", "venv", "--clear", str(workshop.python.parent.parent)])
    _run([str(workshop.python), "-m", "pip", "install", "--quiet", "-r", str(requirements)])
    stamp.write_text(_digest([requirements]), encoding="utf-8")


def install_node(workshop: Workshop) -> None:
    """Install the npm packages of the peers."""
    recipe = [HERE / "package.json", HERE / "package-lock.json"]
    stamp = workshop.folder / "node.sha256"
    if _is_current(stamp, recipe):
        return
    if shutil.which("npm") is None:
        raise Failure("Node.js is to be measured, and npm is not installed")
    say("Installing the peers' npm packages …")
    workshop.node.mkdir(parents=True, exist_ok=True)
    for path in recipe:
        shutil.copy(path, workshop.node)
    _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=workshop.node)
    stamp.write_text(_digest(recipe), encoding="utf-8")


def prepare_database(workshop: Workshop) -> None:
    """Make our project's database, with the one row that is read."""
    variables = environment(workshop)
    for command in (["migrate", "--run-syncdb", "--verbosity=0"], ["make_entry"]):
        _run([sys.executable, str(PROJECT), *command], env=variables)


def allow_descriptors() -> int:
    """Raise the soft limit of open descriptors to the hard one, for us and all we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def describe() -> dict[str, str]:
    """Return what the figures depend on: the machine, and the versions of what is measured."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "node": _first_line(["node", "--version"]).removeprefix("v"),
        "revision": _first_line(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]),
        **{name: _version(name) for name in ("Django", "gevent", "msgspec")},
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _first_line(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.partition("\n")[0].strip()
