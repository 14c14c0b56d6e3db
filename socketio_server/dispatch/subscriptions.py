"""Clients that ask for channels: who is let on one, and which handlers run."""

from typing import Any

from socketio_server.dispatch.developer_hints import DeveloperHints
from socketio_server.dispatch.event_hooks import EventHooks
from socketio_server.dispatch.handler_runner import HandlerRunner, error_of
from socketio_server.dispatch.member import Member
from socketio_server.dispatch.rights import DENIED, Rights, bind
from socketio_server.net.log import beginning_of, show
from socketio_server.net.refusals import RefusalKind
from socketio_server.options import Options
from socketio_server.protocol.names import RESERVED_HEAD, may_be_socket_id
from socketio_server.protocol.socketio import Packet
from socketio_server.registry.events import Registry
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.socket import Socket


class Subscriptions:
    """Subscribes and unsubscribes the clients of one dispatcher.

    :param runner: runs ``authorize``, ``on_subscribe`` and ``on_unsubscribe``.
    :param rights: told of what clients were let on.
    :param hints: told of channels for which no handler ran; ``None``: nobody is told.
    """

    def __init__(
        self,
        registry: Registry,
        clients: Clients[Socket],
        hooks: EventHooks,
        runner: HandlerRunner,
        rights: Rights,
        options: Options,
        *,
        hints: DeveloperHints | None,
    ) -> None:
        self._registry = registry
        self._clients = clients
        self._hooks = hooks
        self._runner = runner
        self._rights = rights
        self._options = options
        self._hints = hints

    def subscribe(self, member: Member, packet: Packet) -> None:
        """Run ``authorize``, put the socket on the channel, then run ``on_subscribe``; both may
        refuse.
        """
        channel = self._channel_of(packet)
        if channel is None:
            self._refuse_channel(member, packet, self._why_invalid(packet))
            return
        why = self._find_obstacle(channel)
        if why is not None:
            self._refuse_channel(member, packet, why, f"Invalid channel: {why}")
            return
        channels = member.delivery.channels
        if channel not in channels and len(channels) >= self._options.max_channels:
            self._refuse_channel(member, packet, "more than SOCKETIO_MAX_CHANNELS")
            return
        refusal = self._authorize(member, channel)
        is_guarded = refusal is None and self._rights.has_asked(member, channel)
        if refusal is not None:
            self._rights.refused(member, channel, refusal[0])
            self._runner.acknowledge(member, packet, error_of(*refusal))
            return
        event = self._registry.on_subscribe
        handlers = event.select_for(member.delivery.namespace, channel)
        if channel not in channels and (handlers or self._runner.has_middleware):
            member.delivery.hold(channel, self._options.max_queued_bytes, self._clients.output)
        awaits_decision = member.delivery.awaits_decision(channel)
        changed = member.socket.subscribe(channel)
        self._rights.subscribed(member, channel)
        if not handlers and self._hints is not None:
            self._hints.unhandled_subscription(channel, packet.namespace)
        refusal = self._runner.fire_refusable(member, event, handlers, (channel,))
        is_on = channel in member.delivery.channels  # else on_subscribe has taken it off again
        if refusal is None and is_guarded and not is_on and self._rights.has_lost(member, channel):
            refusal = DENIED, None
        if refusal is not None:
            member.socket.unsubscribe(channel)
            self._rights.unsubscribed(member, channel)
            member.release_messages(accepted=False)
            self._runner.acknowledge(member, packet, error_of(*refusal))
        else:
            member.release_messages(accepted=True)
            self._runner.acknowledge(member, packet, changed)
            if not is_on:
                self._rights.unsubscribed(member, channel)
            elif awaits_decision:
                member.subscribed(channel)
            self._hooks.log_message(member.socket.request, "subscribe", channel)

    def _authorize(self, member: Member, channel: str) -> tuple[str, Any] | None:
        """Run the ``authorize`` handlers of a channel, all of which must let the client in.

        :return: as ``HandlerRunner.fire_refusable``.
        """
        event, namespace = self._registry.authorize, member.delivery.namespace
        handlers = event.select_for(namespace, channel)
        if handlers:
            self._rights.asked(member, channel)
            is_guarded = self._rights.has_asked(member, channel)
            handlers = bind(handlers, channel)
            refusal = self._runner.fire_refusable(member, event, handlers, (channel,))
            if refusal is None and is_guarded and self._rights.has_lost(member, channel):
                return DENIED, None
            return refusal
        if self._options.subscribe_default == "allow":
            if self._hints is not None:
                self._hints.unguarded(channel, namespace)
            return None
        if self._hints is not None:
            self._hints.denied(channel, namespace)
        return DENIED, None

    def unsubscribe(self, member: Member, packet: Packet) -> None:
        """Take the socket off the channel, then run ``on_unsubscribe``."""
        channel = self._channel_of(packet)
        if channel is None or channel.startswith(RESERVED_HEAD):
            self._refuse_channel(member, packet, self._why_invalid(packet))
            return
        changed = member.socket.unsubscribe(channel)
        self._run_unsubscribe(member, channel)
        self._runner.acknowledge(member, packet, changed)
        self._hooks.log_message(member.socket.request, "unsubscribe", channel)

    def left(self, member: Member, channel: str) -> None:
        """Run ``on_unsubscribe`` for a channel that the client was taken off."""
        self._run_unsubscribe(member, channel)
        self._hooks.log_message(member.socket.request, "unsubscribe", channel)

    def _run_unsubscribe(self, member: Member, channel: str) -> None:
        event = self._registry.on_unsubscribe
        handlers = event.select_for(member.delivery.namespace, channel)
        self._runner.fire(member, event, handlers, (channel,))

    def _refuse_channel(
        self, member: Member, packet: Packet, why: str, answer: str = "Invalid channel"
    ) -> None:
        """Refuse a channel whose name is invalid, or that is one too many."""
        named = show(beginning_of(packet.data[1])) if len(packet.data) > 1 else "none"
        member.router.session.client_refused(RefusalKind.CHANNEL, f"channel {named}: {why}")
        self._runner.acknowledge(member, packet, {"error": answer})

    def _why_invalid(self, packet: Packet) -> str:
        """Return why ``_channel_of`` finds no channel."""
        named = packet.data[1] if len(packet.data) == 2 else None
        if isinstance(named, str) and len(named) > self._options.max_channel_length:
            return "longer than SOCKETIO_MAX_CHANNEL_LENGTH"
        return "invalid"

    def _channel_of(self, packet: Packet) -> str | None:
        """Return the channel that a client names, or ``None`` if the name is not valid."""
        if len(packet.data) != 2 or not isinstance(packet.data[1], str):
            return None
        channel: str = packet.data[1]
        fits = 0 < len(channel) <= self._options.max_channel_length and channel.isprintable()
        return channel if fits else None

    def _find_obstacle(self, channel: str) -> str | None:
        """Return why no client may subscribe to a channel of this name."""
        if channel.startswith(RESERVED_HEAD):
            return f"it begins with {RESERVED_HEAD!r}, which is reserved"
        if may_be_socket_id(channel, of_node=self._options.broker_shared_with_node):
            return "it could be the id of a socket"  # what is sent to that is for the socket only
        return None
