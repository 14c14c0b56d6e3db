"""The message log: one line for each message and subscription, as django-socketio wrote it."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from socketio_server.net.log import MAX_LOGGED, beginning_of

message_logger = logging.getLogger("socketio_server.messages")


class MessageLog:
    """Writes the lines of the message log.

    :param format_: ``SOCKETIO_MESSAGE_LOG_FORMAT``; ``None`` writes none.
    """

    def __init__(self, format_: str | None) -> None:
        self._format = format_

    def write(self, meta: Mapping[str, Any], kind: str, message: Any) -> None:
        """Log a client's message or subscription; never raises.

        :param meta: the handshake's ``request.META``.
        :param kind: ``message``, ``subscribe`` or ``unsubscribe``.
        """
        if self._format is None or not message_logger.isEnabledFor(logging.INFO):
            return
        values = _Values(
            meta,
            TYPE=kind,
            MESSAGE=escape(beginning_of(message)),
            TIME=datetime.now().strftime("%d/%b/%Y %H:%M:%S"),  # as Django's server
        )
        try:
            line = self._format % values
        except (TypeError, ValueError):
            message_logger.exception(
                "SOCKETIO_MESSAGE_LOG_FORMAT can't format the values of a line"
            )
        else:
            message_logger.info("%s", line)


def escape(text: str) -> str:
    """Escape and cut a client's text, so that it can't forge log lines or fill the disk."""
    if len(text) > MAX_LOGGED:
        text = text[:MAX_LOGGED] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Values(dict[str, Any]):
    """The keys of ``request.META`` and a few more; a missing key is ``-``."""

    def __init__(self, meta: Mapping[str, Any], **more: str) -> None:
        super().__init__(meta, **more)

    def __missing__(self, key: str) -> str:
        return "-"
