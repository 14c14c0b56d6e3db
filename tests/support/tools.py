"""What every kind of test may need: waiting for a condition, and asking for a program."""

import os
import shutil
import socket
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

import pytest

PATIENCE = 20.0
"""Seconds that anything may take before a test fails: only a broken server takes so long."""

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
    """Return the condition's value once it is true.

    :param what: what is waited for, for the message of the failure.
    """
    deadline = monotonic() + timeout
    while not (value := condition()):
        if monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        sleep(0.01)
    return value


def require(program: str, *, found: bool | None = None) -> None:
    """Skip the test where a program is missing; fail it where ``CI`` is set: there none may skip.

    :param program: the program's name, looked up in the ``PATH``.
    :param found: whether it is there, where that is not a question of the ``PATH``.
    """
    if shutil.which(program) is not None if found is None else found:
        return
    reason = f"{program} is not installed"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and with CI set no test may be skipped for that")
    pytest.skip(reason)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on; for servers that have to find it again."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def count_descriptors(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
