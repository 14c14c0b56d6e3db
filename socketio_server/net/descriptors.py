"""What a forked process does with the descriptors of its parent."""

import _socket
import os
from contextlib import closing
from typing import Protocol


class _HasDescriptor(Protocol):
    def fileno(self) -> int:
        """Return the descriptor; negative if it is closed."""


def leave_to_parent(sock: _HasDescriptor) -> None:
    """Let go of a socket in a process that was forked from the one that uses it.

    Its connection goes on, and ends with the parent. The descriptor stays in use, because Python
    objects may still close it; that of a socket that is closed already may be a file's by now.
    """
    if sock.fileno() >= 0:
        with closing(_socket.socket(_socket.AF_UNIX)) as unused:
            os.dup2(unused.fileno(), sock.fileno(), inheritable=False)
