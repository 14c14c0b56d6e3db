"""Binds a polling session to its browser, so that a stolen ``sid`` is useless elsewhere.

A cookie tells browsers apart. A handshake without such a cookie sets one with a new name, because
several tabs of a new browser may send their handshakes at the same moment, and must not replace
each other's cookie. A handshake with such a cookie sets none; therefore a browser has at most as
many of them as it had such tabs.

Clients that keep no cookies can't be bound; the first request after the handshake tells. Pure.
"""

import hmac
from collections.abc import Sequence
from enum import Enum

MAX_COOKIES = 500
"""Cookies of a request that are looked at: more than any browser keeps for a site."""


class _State(Enum):
    UNDECIDED = "the handshake had no cookie: the next request decides"
    BOUND = "requests must carry the cookie"
    FREE = "the client keeps no cookies"


UNDECIDED, BOUND, FREE = _State


class Binding:
    """The cookie that a session's requests must carry.

    :param cookie: the cookie of the handshake or its answer, as ``name=value``.
    :param is_new: whether the answer to the handshake sets it.
    """

    __slots__ = ("_cookie", "_state")

    def __init__(self, cookie: str, *, is_new: bool = False) -> None:
        self._cookie = cookie.encode()
        self._state = UNDECIDED if is_new else BOUND

    def admits(self, cookies: Sequence[str]) -> bool:
        """Return whether a request with these cookies, or none, may act for the session."""
        if self._state is UNDECIDED and not cookies:
            self._state = FREE
        if self._state is FREE:
            return True
        admitted = any(hmac.compare_digest(one.encode(), self._cookie) for one in cookies)
        if admitted:
            self._state = BOUND
        return admitted


def cookies_of(header: str, name: str) -> list[str]:
    """Return our cookies in a ``Cookie`` header, each as ``name=value``.

    :param name: the part of their names before the hyphen.
    """
    prefix = f"{name}-"
    if prefix not in header:
        return []  # nearly every client that is no browser
    cookies = header.split(";", MAX_COOKIES)[:MAX_COOKIES]
    return [part for part in map(str.strip, cookies) if part.startswith(prefix)]
