"""Runs a program on the modules that gevent has patched: ``python -P patched.py manage.py …``.

A script, not a module, so that nothing is imported before the patches; otherwise as ``python -m
gevent.monkey``. That takes much longer over them: at each of 25 steps it looks for plugins in what
every installed package says of itself, for 2 to 5 ms (measured).
"""

import importlib.metadata
import runpy
import sys
from functools import lru_cache

from gevent import monkey


def main() -> None:
    """Patch, then run the program that the command line names; ``--module``: as a module."""
    find_entry_points = importlib.metadata.entry_points
    importlib.metadata.entry_points = lru_cache(find_entry_points)  # type: ignore[assignment]
    monkey.patch_all()
    importlib.metadata.entry_points = find_entry_points
    sys.argv = sys.argv[1:]
    if sys.argv[0] == "--module":
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
