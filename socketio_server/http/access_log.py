"""The access log: one line for each request, as Django's own ``runserver`` logs it."""

import logging
import re

from socketio_server.net.log import MAX_LOGGED
from socketio_server.protocol.http1.requests import Head

_SID = re.compile(r"\bsid=[^&\s]*")  # a secret: never logged

logger = logging.getLogger("django.server")


def log_access(head: Head, status: int, size: int, level: int, *, complete: bool = True) -> None:
    """Log a request.

    :param head: the head of the request.
    :param status: the status of the answer; 0 if there was none.
    :param size: bytes that were sent of the answer.
    :param complete: whether those are all.
    """
    if logger.isEnabledFor(level):
        line = _SID.sub("sid=…", head.line)
        if len(line) > MAX_LOGGED:
            line = line[:MAX_LOGGED] + "…"
        text = '"%s" %s %s' if complete else '"%s" %s %s (cut off)'
        logger.log(level, text, line, status or "-", size, extra={"status_code": status})


def level_of(status: int) -> int:
    """Return the level at which Django logs a request with such an answer."""
    if status >= 500:
        return logging.ERROR
    return logging.WARNING if status >= 400 else logging.INFO
