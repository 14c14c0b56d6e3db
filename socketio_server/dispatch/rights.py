"""What clients were let do: kept, because it is verified again when the rights of a user change.

Only sockets are kept that something guards: a decorator of ``on_connect``, or ``authorize``. Who is
verified, and when, is decided above (``serving.rights.rechecks``); here it is what they lose.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from socketio_server.dispatch.member import Member, SubscriptionRevoked
from socketio_server.exceptions import Reject
from socketio_server.net.log import place_of
from socketio_server.net.statistics import Stats
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.names import DISCONNECTED, UNSUBSCRIBED
from socketio_server.registry.events import Event, Registration, Registry
from socketio_server.registry.guards import has_own_test, tests_of
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.socket import Socket

DENIED = "Permission denied"
"""What a client is told that is refused without a message."""

FAILED = object()
"""Instead of what tells the rights of a user: a test has failed when they were verified."""

Outcomes = dict[tuple[str, str], str | None]
"""By namespace and channel, why the clients of one session may not be on it; ``None``: they may."""

logger = logging.getLogger("socketio_server")


class Runner(Protocol):
    """Runs handlers (``HandlerRunner``)."""

    refusals: tuple[type[Exception], ...]
    """Exceptions that refuse a client."""

    def ask(self, member: Member, event: Event, handlers: Sequence[Registration], arg: str) -> Any:
        """Return the answer of handlers that may refuse.

        :raises Exception: whatever they raise.
        """

    def restore(self, captured: Any) -> None:
        """Activate the captured state of a client's handshake."""

    def raised(self, error: BaseException) -> None:
        """Pass on what a handler has raised, besides the log."""


class Grant:
    """What one client was let do.

    :param rights: verifies it.
    """

    __slots__ = ("channels", "member", "rights", "verified_by")

    def __init__(self, member: Member, rights: "Rights") -> None:
        self.member = member
        self.rights = rights
        self.channels: dict[str, bool] = {}
        """The channels that the client asked for and ``authorize`` let it on; ``False`` until the
        client is on it."""
        self.verified_by: object = None
        """What tells the rights of its user as it was verified last (``serving``); ``None``: they
        were not read. ``FAILED``: not all could be verified."""

    @property
    def has_own_tests(self) -> bool:
        """Whether a test of the connection may decide by more than Django knows of a user."""
        return self.rights.has_own_tests(self.member.delivery.namespace)

    def verify(self, channels: Iterable[str] | None, outcomes: Outcomes) -> bool:
        """Verify the client again, and take from it what it may no longer.

        Runs in a worker, beside the client's events.

        :param channels: the channels to verify; ``None``: all.
        :param outcomes: the outcomes on other clients of the session; new ones are added.
        :return: ``False`` if a test failed, so that not all could be verified.
        """
        return self.member.copy_scope().run(self.rights.verify, self, channels, outcomes)


class Rights:
    """The grants of one dispatcher's clients, among those of the process.

    :param grants: all grants of the process, by member.
    :param runner: runs ``authorize`` handlers.
    """

    def __init__(
        self,
        registry: Registry,
        clients: Clients[Socket],
        runner: Runner,
        stats: Stats,
        grants: "dict[Member, Grant]",
    ) -> None:
        self._registry = registry
        self._clients = clients
        self._runner = runner
        self._stats = stats
        self._grants = grants

    def connecting(self, member: Member, handlers: Sequence[Registration]) -> None:
        """A client connects: keep it if something guards it.

        :param handlers: those of ``on_connect`` that run.
        """
        namespace = member.delivery.namespace
        authorize = self._registry.authorize.registrations
        if (authorize and any(each.is_for(namespace) for each in authorize)) or (
            handlers and any(tests_of(each.handler) for each in handlers)
        ):
            self._grants[member] = Grant(member, self)

    def has_own_tests(self, namespace: str) -> bool:
        """Return whether a test of a connection may decide by more than Django knows of a user."""
        handlers = self._registry.on_connect.select(namespace, ())
        return any(has_own_test(each.handler) for each in handlers)

    def forget(self, member: Member) -> None:
        """Forget a client that has ended."""
        self._grants.pop(member, None)

    # --- Subscriptions of clients -------------------------------------------------------------

    def asked(self, member: Member, channel: str) -> None:
        """A client asks for a guarded channel, and ``authorize`` is going to run.

        It is noted before, because the right may be lost while the handler runs. A channel that the
        client holds without having asked for it is the server's own gift.

        The next look verifies the client again, because the right may be had for a moment only.
        """
        grant = self._grants.get(member)
        if grant is not None and channel not in member.delivery.channels:
            grant.channels[channel] = False
            if grant.verified_by is not FAILED:
                grant.verified_by = None

    def has_asked(self, member: Member, channel: str) -> bool:
        """Return whether a client has asked for a guarded channel, which it may be on already."""
        grant = self._grants.get(member)
        return grant is not None and channel in grant.channels

    def has_lost(self, member: Member, channel: str) -> bool:
        """Return whether a client may no longer be on a guarded channel that it asked for."""
        grant = self._grants.get(member)
        return grant is not None and channel not in grant.channels

    def subscribed(self, member: Member, channel: str) -> None:
        """A client is on a channel that it asked for."""
        grant = self._grants.get(member)
        if grant is not None and channel in grant.channels:
            grant.channels[channel] = True

    def refused(self, member: Member, channel: str, why: str) -> None:
        """A client was refused a channel; if it was on it at its own wish, it is no longer."""
        grant = self._grants.get(member)
        if grant is not None and grant.channels.get(channel):
            self._end_subscription(grant, channel, why)
        else:
            self.unsubscribed(member, channel)

    def unsubscribed(self, member: Member, channel: str) -> None:
        """A client is no longer on a channel."""
        grant = self._grants.get(member)
        if grant is not None:
            grant.channels.pop(channel, None)

    # --- Verifying ----------------------------------------------------------------------------

    def verify(self, grant: Grant, channels: Iterable[str] | None, outcomes: Outcomes) -> bool:
        """Verify one client (``Grant.verify``), in a copy of its context."""
        member = grant.member
        if member.delivery.close_reason is not None:
            return True  # it has ended meanwhile
        if member.router.captured is not None:
            self._runner.restore(member.router.captured)
        is_verified = self._verify_one(member, self._verify_connection, grant)
        for channel in list(grant.channels) if channels is None else channels:
            if member.delivery.close_reason is not None:
                break  # it may no longer be connected
            verified = self._verify_one(member, self._verify_channel, grant, channel, outcomes)
            is_verified = verified and is_verified
        return is_verified

    def _verify_one(self, member: Member, verify: Callable[..., None], *args: Any) -> bool:
        """Verify one right of a client; where a test fails, the client keeps this one until it can
        be verified.

        :return: ``False`` if the test failed.
        """
        try:
            verify(*args)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            key = ("recheck", type(error), place_of(error))
            more = self._stats.refusals.throttle(key, member.router.session.key)
            if more is not None:
                logger.error(
                    "The rights of socket %s can't be verified again, so it keeps them until the "
                    "next recheck. Fix the handler or test that the traceback tells%s",
                    member.delivery.id,
                    more,
                    exc_info=error,
                )
            self._runner.raised(error)
            return False
        return True

    def end_connection(self, member: Member, why: str) -> None:
        """Disconnect a client that may no longer be connected; its waiting events are dropped."""
        self._tell(member, DISCONNECTED, why)
        member.router.disconnect(member, CloseReason.AUTHORIZATION_REVOKED)

    def _end_subscription(self, grant: Grant, channel: str, why: str) -> None:
        member = grant.member
        grant.channels.pop(channel, None)
        if member.socket.unsubscribe(channel):
            self._tell(member, UNSUBSCRIBED, channel, why)
            member.put(SubscriptionRevoked(channel))

    def _verify_connection(self, grant: Grant) -> None:
        why = self._why_disconnected(grant.member)
        if why is not None:
            self.end_connection(grant.member, why)

    def _verify_channel(self, grant: Grant, channel: str, outcomes: Outcomes) -> None:
        if channel in grant.channels:
            why = self._why_unsubscribed(grant.member, channel, outcomes)
            if why is not None:
                self._end_subscription(grant, channel, why)

    def _why_disconnected(self, member: Member) -> str | None:
        """Return why a client may no longer be connected; ``None`` if it may."""
        try:
            for registration in self._registry.on_connect.select(member.delivery.namespace, ()):
                for test in tests_of(registration.handler):
                    test(member.socket.request)
        except self._runner.refusals as error:
            return refusal_of(error)[0]
        return None

    def _why_unsubscribed(self, member: Member, channel: str, outcomes: Outcomes) -> str | None:
        """Return why a client may no longer be on a channel; ``None`` if it may."""
        namespace = member.delivery.namespace
        if (namespace, channel) not in outcomes:
            event = self._registry.authorize
            handlers = bind(event.select_for(namespace, channel), channel)
            why = None
            try:
                if handlers and not self._runner.ask(member, event, handlers, channel):
                    why = DENIED
            except self._runner.refusals as error:
                why = refusal_of(error)[0]
            outcomes[namespace, channel] = why
        return outcomes[namespace, channel]

    def _tell(self, member: Member, event_name: str, *args: str) -> None:
        outgoing = self._clients.encode(member.delivery.namespace, event_name, args)
        member.delivery.deliver(outgoing)


def bind(handlers: Iterable[Registration], channel: str) -> tuple[Registration, ...]:
    """Return ``authorize`` handlers with the named groups of their patterns."""
    return tuple(registration.bind(channel) for registration in handlers)


def refusal_of(error: Exception) -> tuple[str, Any]:
    """Return the message and data for a refused client."""
    if isinstance(error, Reject):
        return error.message, error.data
    return str(error) or DENIED, None
