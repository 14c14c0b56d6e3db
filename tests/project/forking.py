"""Acts in forked processes."""

import os
from collections.abc import Callable
from tempfile import TemporaryFile

import socketio_server


def in_child(act: Callable[[], object]) -> str:
    """Do something in a forked process, and wait for its end; return what became of it there: the
    name of an exception, or "done".
    """
    with TemporaryFile("w+") as told:
        child = os.fork()
        if not child:
            outcome = "done"
            try:
                act()
            except socketio_server.NoSocket as error:
                outcome = type(error).__name__
            finally:
                print(outcome, end="", file=told, flush=True)
                os._exit(0)
        os.waitpid(child, 0)
        told.seek(0)
        return told.read()
