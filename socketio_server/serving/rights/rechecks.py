"""Rechecks: who is verified again when rights have changed, when, and how many at a time.

``request_recheck`` is called wherever that is noticed; the server of each process, or the test
client, has ``Rechecks``. What a client loses is decided in ``dispatch.rights``.
"""

import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import astuple, dataclass, field, fields
from functools import cache
from typing import Any, TypeVar

import msgspec
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import transaction

from socketio_server.dispatch.developer_hints import DeveloperHints
from socketio_server.dispatch.member import Member
from socketio_server.dispatch.rights import FAILED, Grant, Outcomes, Rights
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.serving import current, everywhere, users
from socketio_server.serving.around_events.identity import Identity
from socketio_server.serving.around_events.watched_requests import identity_of, session_key_of
from socketio_server.serving.rights import fingerprints
from socketio_server.serving.rights.recheck_queue import JobRunner, RecheckQueue, Work, WorkHooks
from socketio_server.serving.rights.recheck_scopes import Scope, digest_of
from socketio_server.sockets import targets
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.socket import Socket
from socketio_server.sockets.this_process import CLIENTS

BATCH = 500
"""Sessions that are read together."""

PIECE = 50
"""Channels, or sessions, that are verified before others have their turn."""

CLUSTER_EVENT = "~recheck"
"""The event by which servers tell each other whom to verify again."""

T = TypeVar("T")

logger = logging.getLogger("socketio_server")


def scope_of(value: Any, namespace: str) -> Scope:
    """Return the scope that a caller names.

    :raises TypeError: if it is no user and no channel, nor everyone.
    :raises ValueError: if the user is anonymous, or the channel's name is empty.
    """
    if value is targets.EVERYONE:
        return Scope("everyone")
    room = users.room_of(value)
    if room is not None:
        return Scope("user", room)
    targets.check_channel(value, "to", "a channel, a user or EVERYONE")
    return Scope("channel", value, namespace)


def request_recheck(scope: Scope, using: str | None = None) -> None:
    """Let clients of all processes be verified again, when the current transaction is committed.

    :param using: the database of the transaction.
    """
    here = current.rechecks
    if here is not None and here.at_once:
        here.ask(scope)
    elif here is not None or _reaches_others():
        transaction.on_commit(lambda: _send(scope), using=using, robust=True)


def _reaches_others() -> bool:
    """Return whether a broker leads from this process, which runs no server, to others."""
    try:
        everywhere.reach_servers()
    except ImproperlyConfigured:
        return False  # the check says so
    return CLIENTS.broker.reaches_others


def _send(scope: Scope) -> None:
    """Tell the servers of all processes, this one's included."""
    everywhere.emit_cluster(CLUSTER_EVENT, *astuple(scope), on_error="log")


RunEvent = Callable[[str, str, Sequence[Any], Any], None]

_FIELDS = tuple(each.name for each in fields(Scope))


@dataclass
class _Case:
    """The clients of one session, or one client without."""

    identity: Identity | None
    """The one that looks for all of them; ``None``: their request is not Django's."""
    may_change: bool
    """Whether the database says who they are."""
    grants: list[Grant] = field(default_factory=list)

    @property
    def has_failed(self) -> bool:
        """Whether a test has failed when they were verified last."""
        return any(grant.verified_by is FAILED for grant in self.grants)


class Rechecks:
    """Verifies the clients of one process again (``current.RecheckTaker``).

    :param grants: what the clients were let do.
    :param pool: runs the workers in which they are verified.
    :param hooks: called in a worker around each piece of work.
    :param interval: ``SOCKETIO_RECHECK_INTERVAL``.
    :param at_once: whether nobody waits for commits: in tests there are none.
    :param hints: told of channels that are to be verified; ``None``: nobody is told.
    """

    def __init__(
        self,
        grants: Mapping[Member, Grant],
        clients: Clients[Socket],
        pool: JobRunner,
        *,
        hooks: WorkHooks,
        interval: float,
        at_once: bool = False,
        hints: DeveloperHints | None = None,
    ) -> None:
        self.at_once = at_once
        self._hints = hints
        self._grants = grants
        self._clients = clients
        self._queue = RecheckQueue(self._take, pool, hooks, clients)
        self._interval = interval
        # The cases of this round that are still to be looked at, one batch each time.
        self._round: deque[Sequence[_Case]] = deque()
        self._pause = interval  # between two batches of this round
        self._cancel: Callable[[], None] | None = None  # while the next look is due

    def ask(self, scope: Scope) -> None:
        """Verify clients again, soon."""
        self._queue.ask(scope)

    def make_up(self) -> None:
        """Verify everybody again, in all processes, because servers could not tell each other."""
        _send(Scope("everyone"))

    def intercept(self, run: RunEvent) -> RunEvent:
        """Return a function that takes the events of other servers that are for this object, and
        passes on the rest.

        :param run: gets the rest.
        """

        def take_or_run(namespace: str, name: str, args: Sequence[Any], answer: Any) -> None:
            if name != CLUSTER_EVENT:
                run(namespace, name, args, answer)
                return
            try:
                self.ask(msgspec.convert(dict(zip(_FIELDS, args, strict=True)), Scope))
            except (ValueError, msgspec.ValidationError):  # of a server of another version
                logger.warning("Ignored a recheck of another server, which has another version")

        return take_or_run

    def _take(self, scope: Scope) -> Work:
        if scope.kind == "replaced":
            self._let_reconnect(scope.value)
            return
        if scope.kind == "channel" and self._hints is not None:
            self._hints.rechecked(scope.value, scope.namespace)
        cases = _by_session(self._find(scope))
        for identity in _identities(cases):
            identity.look_again()  # who connects or subscribes before it is verified
        if scope.is_forced or not self._interval:
            channels = (scope.value,) if scope.kind == "channel" else None
            is_ending = scope.kind == "logout"
            for case in cases:
                self._queue.add(scope, self._verify(case, channels, is_ending=is_ending))
        else:
            for some in _batches(cases, BATCH):
                self._queue.add(scope, self._compare(some, scope))
        if scope.kind in ("user", "session", "logout"):
            if scope.kind == "user":
                sockets = self._clients.in_room(scope.value)
            else:
                sockets = [socket for _, socket, _ in self._clients.values()]
            verified = {grant.member.socket for case in cases for grant in case.grants}
            sockets = [socket for socket in sockets if socket not in verified]
            for batch in _batches(sockets, BATCH):
                self._queue.add(scope, self._refresh_user_rooms(batch, scope))
                yield

    def _refresh_user_rooms(self, sockets: Sequence[Socket], scope: Scope) -> Work:
        """Let clients that are not verified leave the room of a user who they are no more."""
        for socket in sockets:
            is_anonymous = not socket._delivery.rooms
            if is_anonymous or (scope.kind != "user" and not _has_session(socket, scope.value)):
                continue
            identity = identity_of(socket.request)
            if identity is None:
                continue
            if scope.kind == "logout":
                identity.log_out()
            else:
                identity.look_again()
                _read_user(identity)
        yield

    # --- The recheck after each interval ------------------------------------------------------

    def start(self) -> None:
        """Begin to look after each interval for what nobody tells of."""
        if self._interval:
            self._wait(self._interval)

    def stop(self) -> None:
        """Look no more."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def _wait(self, seconds: float) -> None:
        self._cancel = self._clients.timekeeper.call_later(seconds, self._look)

    def _look(self) -> None:
        """Look at the next batch; all batches of a round are spread over the interval."""
        if not self._round:
            self._round.extend(_batches(self._find_cases(), BATCH))
            self._pause = self._interval / max(len(self._round), 1)
        if self._round:
            self._queue.add(None, self._compare(self._round.popleft(), None))
        self._wait(self._pause)

    def _find_cases(self) -> list[_Case]:
        """Return those who may lose a right without a signal, or could not be verified."""

        @cache
        def has_own_tests(rights: Rights, namespace: str) -> bool:
            return rights.has_own_tests(namespace)

        return [
            case
            for case in _by_session(self._grants.values())
            if case.may_change
            or case.has_failed
            or has_own_tests(case.grants[0].rights, case.grants[0].member.delivery.namespace)
        ]

    def _compare(self, batch: Sequence[_Case], scope: Scope | None) -> Work:
        """Verify those of a batch whose fingerprint has changed, and those who have none yet: a
        right may have been lost since they were let in.

        :param scope: whose work it is.
        """
        known: list[tuple[_Case, Identity]] = []
        for case in batch:
            if case.identity is not None and case.identity.has_user:
                known.append((case, case.identity))
            elif case.has_failed:
                self._queue.add(scope, self._verify(case, None))
        found = fingerprints.read([identity for _, identity in known]) if known else []
        for number, ((case, _), (fingerprint, user)) in enumerate(
            zip(known, found, strict=True), 1
        ):
            same = [grant for grant in case.grants if grant.verified_by == fingerprint]
            others = [grant for grant in case.grants if grant.verified_by != fingerprint]
            for each in _by_session(others):
                self._queue.add(scope, self._verify(each, None, fingerprint=fingerprint))
            self._ask_own_tests(same, user)
            if number % PIECE == 0:
                yield

    def _ask_own_tests(self, grants: Iterable[Grant], user: Any) -> None:
        """Make the project's own tests of connections, whose user has not changed."""
        for grant in grants:
            identity = identity_of(grant.member.socket.request)
            if identity is not None and grant.has_own_tests:
                with identity.seeing(user):
                    grant.verify((), {})

    # ------------------------------------------------------------------------------------------

    def _find(self, scope: Scope) -> list[Grant]:
        """Return the grants that a scope names."""
        grants = list(self._grants.values())
        if scope.kind == "user":
            return [  # those too whose user is being read, and may be known to nobody yet
                each
                for each in grants
                if each.member.router.user_room == scope.value or each.member.delivery.is_joining
            ]
        if scope.kind == "channel":
            return [
                each
                for each in grants
                if each.member.delivery.namespace == scope.namespace
                and scope.value in each.channels
            ]
        if scope.kind == "everyone":
            return grants
        return [each for each in grants if _has_session(each.member.socket, scope.value)]

    def _verify(
        self,
        case: _Case,
        channels: tuple[str, ...] | None,
        *,
        is_ending: bool = False,
        fingerprint: fingerprints.Fingerprint | None = None,
    ) -> Work:
        """Verify the clients of one session.

        :param channels: the channels to verify; ``None``: all, and the connection.
        :param is_ending: whether the session is about to end.
        :param fingerprint: what tells the rights of the user; ``None``: it was not read, because
            somebody has asked to verify.
        """
        known = [fingerprint if channels is None else grant.verified_by for grant in case.grants]
        for grant in case.grants:
            grant.verified_by = FAILED  # unless all goes well: the next look verifies again
        first, user, is_refused = case.identity, None, False
        if first is not None:
            if is_ending:
                first.log_out()
            else:
                first.look_again()
                user = _read_user(first)  # is read once for all of them
                is_refused = user is None and first.has_user
        # A cache of sessions may know one that the database does not.
        is_current = fingerprint is None or fingerprint.tells_of(user)
        outcomes: Outcomes = {}
        asked = 0
        for grant, verified_by in zip(case.grants, known, strict=True):
            identity = identity_of(grant.member.socket.request)
            if identity is not None and identity is not first and first is not None:
                identity.see_as(first)
                if is_refused:
                    identity.leave_room()
            before = list(grant.channels)
            is_verified = True
            for some in _batches(before if channels is None else channels, PIECE) or [()]:
                with nullcontext() if identity is None else identity.seeing():
                    is_verified = grant.verify(some, outcomes) and is_verified
                asked += len(some)
                if asked >= PIECE:
                    asked = 0
                    yield
            has_all = grant.channels.keys() <= set(before)  # else it has asked for more meanwhile
            if is_verified and is_current and has_all:
                grant.verified_by = verified_by

    def _let_reconnect(self, digest: str) -> None:
        """Close the transports of a session whose key was replaced: the pages come back with their
        new cookies.
        """
        for _, socket, _ in list(self._clients.values()):
            if _has_session(socket, digest):
                socket._delivery.close_transport(CloseReason.SESSION_REPLACED)


def _by_session(grants: Iterable[Grant]) -> list[_Case]:
    """Group grants by session; one without a session is a group of its own."""
    cases: dict[Hashable, _Case] = {}
    for grant in grants:
        identity = identity_of(grant.member.socket.request)
        key: Hashable = id(grant.member)
        may_change = False
        if identity is not None and identity.has_user:
            if identity.kept is None and identity.key:
                key, may_change = identity.key, True
            elif identity.kept is not None:
                may_change = grant.member.router.user_room is not None
        if key not in cases:
            cases[key] = _Case(identity, may_change)
        cases[key].grants.append(grant)
    return list(cases.values())


def _identities(cases: Iterable[_Case]) -> Iterable[Identity]:
    """Return those of all clients."""
    found = (identity_of(grant.member.socket.request) for case in cases for grant in case.grants)
    return (identity for identity in found if identity is not None)


def _batches(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _has_session(socket: Socket, digest: str) -> bool:
    key = session_key_of(socket.request)
    return bool(key) and digest_of(key) == digest


def _read_user(identity: Identity) -> Any:
    """Read a client's user; ``None`` if the project has none, or the backend refuses it: then tests
    that look are refused, too.
    """
    try:
        return identity.user if identity.has_user else None
    except PermissionDenied:
        identity.leave_room()
        return None
