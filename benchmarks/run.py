#!/usr/bin/env python3
"""Measures our server beside others: ``make benchmark``, or ``python benchmarks/run.py --help``."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it is a package
    runpy.run_module("benchmarks", run_name="__main__", alter_sys=True)
