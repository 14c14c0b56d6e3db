"""What can be said of channel patterns without trying them on a channel, for the system checks and
the developer's hints.
"""

import re
from collections.abc import Iterable

from socketio_server.registry.events import Registration

_PLAIN = re.compile(r"(?:\^|\\A)?([\w/:@ -]*)")


def literal_beginning(pattern: re.Pattern[str]) -> str:
    """Return the plain text with which each name begins that a pattern matches.

    :return: ``""`` if nothing can be said, for instance of ``^a|b``.
    """
    text = pattern.pattern
    if _has_alternatives(text) or pattern.flags & (re.VERBOSE | re.IGNORECASE):
        return ""
    plain = _PLAIN.match(text)
    assert plain is not None  # the expression matches the empty text, too
    following = text[plain.end() : plain.end() + 1]
    return plain[1][:-1] if following and following in "?*{" else plain[1]


def _has_alternatives(text: str) -> bool:
    """Return whether a regular expression has a ``|`` outside of parentheses."""
    depth = 0
    for each in re.findall(r"\\.|\[\^?\]?[^]]*\]|.", text, re.DOTALL):
        depth += (each == "(") - (each == ")")
        if each == "|" and not depth:
            return True
    return False


def list_patterns(registrations: Iterable[Registration]) -> str:
    """Return the channel patterns of handlers as text: each once, sorted."""
    return ", ".join(sorted({repr(each.pattern.pattern) for each in registrations if each.pattern}))
