"""Binds a polling session to the browser that opened it, so that a stolen ``sid`` is of no use
elsewhere.

A cookie tells browsers apart. Clients that are no browsers keep none, and can't be bound. Which is
the case shows with the handshake, or else with the first request after it: by then a browser has
the cookie that the handshake, or that of another tab, has set. Pure.
"""

import hmac
from enum import Enum


class _State(Enum):
    UNDECIDED = "the handshake had no cookie: the next request decides"
    BOUND = "requests must carry the cookie"
    FREE = "the client keeps no cookies"


class Binding:
    """What a session's requests must carry.

    :param cookie: the cookie of the handshake's request, if it had one.
    """

    __slots__ = ("_cookie", "_state")

    def __init__(self, cookie: str | None) -> None:
        self._cookie = cookie or ""
        self._state = _State.UNDECIDED if cookie is None else _State.BOUND

    def admits(self, cookie: str | None) -> bool:
        """Return whether a request with this cookie, or none, may act for the session."""
        if self._state is _State.UNDECIDED:
            self._state = _State.FREE if cookie is None else _State.BOUND
            self._cookie = cookie or ""
        if self._state is _State.FREE:
            return True
        return cookie is not None and hmac.compare_digest(cookie.encode(), self._cookie.encode())
