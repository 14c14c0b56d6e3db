"""Binds a polling session to the browser that opened it, so that a stolen ``sid`` is of no use
elsewhere.

A cookie tells browsers apart. A handshake that brings none gets one, whose name is new as well: so
the handshakes of several tabs, which a new browser opens at the same moment, don't replace each
other's. One that brings any gets no other, so a browser has no more of them than it once had such
tabs.

Clients that are no browsers keep no cookies, and can't be bound. Which is the case shows with the
first request after the handshake. Pure.
"""

import hmac
from collections.abc import Iterable
from enum import Enum


class _State(Enum):
    UNDECIDED = "the handshake brought no cookie: the next request decides"
    BOUND = "requests must carry the cookie"
    FREE = "the client keeps no cookies"


class Binding:
    """What a session's requests must carry.

    :param cookie: the one that the handshake brought, or got, as ``name=value``.
    :param is_new: whether the handshake got it.
    """

    __slots__ = ("_cookie", "_state")

    def __init__(self, cookie: str, *, is_new: bool = False) -> None:
        self._cookie = cookie.encode()
        self._state = _State.UNDECIDED if is_new else _State.BOUND

    def admits(self, cookies: Iterable[str]) -> bool:
        """Return whether a request with these cookies, or none, may act for the session."""
        carried = list(cookies)
        if self._state is _State.UNDECIDED and not carried:
            self._state = _State.FREE
        if self._state is _State.FREE:
            return True
        admitted = any(hmac.compare_digest(one.encode(), self._cookie) for one in carried)
        if admitted:
            self._state = _State.BOUND
        return admitted


def cookies_of(header: str, name: str) -> list[str]:
    """Return the cookies of ours in a ``Cookie`` header, each as ``name=value``.

    :param name: how their names begin, up to a hyphen.
    """
    prefix = f"{name}-"
    return [part for part in map(str.strip, header.split(";")) if part.startswith(prefix)]
