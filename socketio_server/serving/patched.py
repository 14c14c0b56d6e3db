"""Runs a program on the modules that gevent has patched: ``python -P patched.py manage.py …``.

A script, not a module, so that nothing is imported before the patches; otherwise as ``python -m
gevent.monkey``, in less time.
"""

import gc
import os
import runpy
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent.events
from gevent import monkey

GC_THRESHOLD = 200_000
"""How many objects are made before garbage is looked for, until the server runs (``Service``).

Nearly all that is made by then is there to stay. A project of a few apps makes 110,000; to look
through them again and again took a tenth of the start (measured)."""

PLUGINS = b"gevent.plugins."
"""How the entry points begin by which packages take part in gevent's patches."""

GEVENT = "gevent-"
"""Its own plugin looks for a mistake that ``patch_all`` can't make as it is called here."""


def main() -> None:
    """Patch, then run the program that the command line names; ``--module``: as a module."""
    gc.set_threshold(GC_THRESHOLD)
    patch()
    sys.argv = sys.argv[1:]
    if sys.argv[0] == "--module":
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def patch() -> None:
    """Let gevent patch, without its search for plugins where none is installed.

    At each of 25 steps it looks for them in what every installed package says of itself, for 2 to
    5 ms, and what it looks with takes 20 ms to import (measured).
    """
    events: Any = gevent.events  # whose stubs know nothing of it
    notify_and_call = events.notify_and_call_entry_points
    if not any(map(has_plugins, sys.path)):
        events.notify_and_call_entry_points = events.notify
    monkey.patch_all()
    events.notify_and_call_entry_points = notify_and_call


def has_plugins(folder: str) -> bool:
    """Return whether a package in this folder of ``sys.path`` may have plugins for gevent."""
    if os.path.isfile(folder):
        return True  # an archive: gevent knows how to look into it
    with suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in entries:
            if entry.name.lower().endswith("-info") and not entry.name.startswith(GEVENT):
                with suppress(OSError):  # most have no entry points
                    if PLUGINS in Path(entry.path, "entry_points.txt").read_bytes():
                        return True
    return False


if __name__ == "__main__":
    main()
