"""Tells the log that a proxy sends clients to machines that don't have their sessions.

An unknown ``sid`` alone is nobody's mistake: after a restart every client comes with one. But its
beginning names the process that has made it, which another server of the cluster may still be.
"""

import logging
from collections.abc import Callable, Sequence

import gevent

INTERVAL = 10.0
"""Seconds in which the other servers are asked once."""

TIMEOUT = 2.0
"""Seconds that they have to reply."""

logger = logging.getLogger("socketio_server")


class LostClients:
    """Looks where the sessions may be that clients ask for in vain.

    :param find_workers: returns, after so many seconds at most, what the ids of other servers'
        sessions begin with.
    :param settled: seconds after the start from which on no client of an earlier process comes
        back: it could have had the same name.
    :param clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        find_workers: Callable[[float], Sequence[str]],
        *,
        settled: float,
        clock: Callable[[], float],
    ) -> None:
        self._find_workers = find_workers
        self._clock = clock
        self._next = clock() + settled  # when the others may be asked again
        self._is_told = False

    def came(self, worker: str) -> None:
        """Note that a client has asked for a session that is not here; does not wait.

        :param worker: the process that the session's id begins with; may be empty.
        """
        if not self._is_told and self._clock() >= self._next:
            self._next = self._clock() + INTERVAL
            gevent.spawn(self._look, worker)

    def _look(self, worker: str) -> None:
        """Tell the log, once, if another server may have the session."""
        if worker in self._find_workers(TIMEOUT) and not self._is_told:
            self._is_told = True
            logger.warning(
                "A client asks for a session that another server of the cluster may have, and is "
                "refused: give each machine a SOCKETIO_NODE of its own, and let the proxy choose "
                "the machine by the session's id, or by the client (said once)"
            )
