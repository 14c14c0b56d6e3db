"""Runs the handlers of one event: inside the middleware, and what becomes of their answers and
exceptions.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from greenlet import getcurrent

from socketio_server.dispatch import validation
from socketio_server.dispatch.developer_hints import DeveloperHints
from socketio_server.dispatch.event_hooks import EventHooks
from socketio_server.dispatch.happenings import Happening
from socketio_server.dispatch.member import Member
from socketio_server.dispatch.middleware import NO_ANSWER, CallNext, EventCall
from socketio_server.dispatch.rights import DENIED, refusal_of
from socketio_server.engine.transports.base import Outgoing
from socketio_server.exceptions import Reject, ValidationError
from socketio_server.net.log import place_of, show
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.statistics import Stats
from socketio_server.net.turns import LARGE
from socketio_server.net.workers import note_large_message
from socketio_server.protocol import engineio
from socketio_server.protocol.socketio import Packet
from socketio_server.registry.events import Event, Registration, Registry
from socketio_server.registry.signatures import describe
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.socket import Socket

logger = logging.getLogger("socketio_server")


class HandlerRunner:
    """Runs handlers for the clients of one dispatcher (``Runner``).

    Everything here runs in the worker that handles an event.

    :param registry: whose ``on_error`` is told of exceptions.
    :param stats: counts events, and exceptions that come too often to be logged.
    :param hints: told of handlers that refuse clients; ``None``: nobody is told.
    :param middleware: wraps every event, if there is any.
    :param on_raised: called with each exception of a handler, besides the log and ``on_error``.
    """

    def __init__(
        self,
        registry: Registry,
        clients: Clients[Socket],
        hooks: EventHooks,
        stats: Stats,
        *,
        hints: DeveloperHints | None,
        middleware: CallNext | None,
        on_raised: Callable[[BaseException], None] | None,
    ) -> None:
        self._registry = registry
        self._clients = clients
        self._encoder = clients.encoder
        self._hooks = hooks
        self._stats = stats
        self._hints = hints
        self._middleware = middleware
        self._on_raised = on_raised
        self.refusals: tuple[type[Exception], ...] = (Reject, *hooks.refusals)
        """Exceptions that refuse a client (``Runner``)."""

    @property
    def has_middleware(self) -> bool:
        """Whether something runs for an event without handlers, too."""
        return self._middleware is not None

    def fire(
        self, member: Member, event: Event, handlers: Sequence[Registration], args: Sequence[Any]
    ) -> Any:
        """Run an event's handlers, inside of the middleware.

        :return: the first answer that is not ``None``; ``NO_ANSWER`` if a handler raised and none
            answered.
        :raises BaseException: what a handler or middleware raises, if the event can be refused.
        """
        if not handlers and self._middleware is None:
            return None
        worker = member.delivery.handler
        if getattr(worker, "is_dirty", False):
            self._prepare(member, event.name)
        try:
            if self._middleware is None:
                return self._run(member, event, handlers, args)
            return self._run_middleware(self._middleware, member, event, handlers, args)
        except BaseException:
            self._hooks.forget_changes(member.socket.request)
            raise
        finally:
            self._stats.events += 1
            if getattr(worker, "is_dirty", False):
                self.clean_up(member, event.name)

    def fire_refusable(
        self, member: Member, event: Event, handlers: Sequence[Registration], args: Sequence[Any]
    ) -> tuple[str, Any] | None:
        """Run the handlers of an event that they may refuse.

        An exception refuses the client too: a check whose database fails lets nobody in.

        :return: the message and data for a refused client; ``None`` if it is accepted.
        """
        try:
            answer = self.fire(member, event, handlers, args)
        except self.refusals as error:
            return refusal_of(error)
        except BaseException as error:  # ends no more than the connection
            if isinstance(error, KeyboardInterrupt):
                raise
            self._handler_raised(member, event.name, error)
            self.clean_up(member, event.name)
            return "Internal error", None
        if event.must_grant:
            return None if answer else (DENIED, None)
        return refusal_of(Reject()) if answer is False else None

    def acknowledge(
        self,
        member: Member,
        packet: Packet,
        answer: Any,
        handlers: Sequence[Registration] = (),
    ) -> None:
        """Acknowledge a packet, if it has an id, and somebody answered or handled it.

        While the message waits for room, nothing but it is kept: the caller must keep no answer.

        :param answer: a tuple gives several values, ``None`` none.
        """
        if packet.ack_id is None or answer is NO_ANSWER or (answer is None and not handlers):
            return
        try:
            outgoing = self._encode_answer(packet.ack_id, packet.namespace, answer)
        except TypeError as error:  # the handler's answer can't be encoded
            names = " or ".join(describe(registration.handler) for registration in handlers)
            why = f"{names or 'middleware'} returned a value that can't be sent: {error}"
            self._handler_raised(member, packet.data[0], TypeError(why))
            self.clean_up(member, packet.data[0])
        else:
            del answer
            if len(outgoing.frames) > LARGE:
                note_large_message()
            member.delivery.send(outgoing, self._clients.timekeeper)

    def _encode_answer(self, ack_id: int, namespace: str, answer: Any) -> Outgoing:
        """Encode an answer."""
        values = () if answer is None else answer if isinstance(answer, tuple) else (answer,)
        encoded = self._encoder.ack(ack_id, values, namespace=namespace)
        return Outgoing(engineio.MESSAGE + encoded.text, encoded.attachments)

    def _prepare(self, member: Member, event_name: str) -> None:
        """Prepare an event; what raises then is an error of its handlers, which run all the same: a
        client has its last ones only once.
        """
        try:
            self._hooks.before_event()
        except BaseException as error:  # ends no more than the preparation
            if isinstance(error, KeyboardInterrupt):
                raise
            self._handler_raised(member, event_name, error)

    def clean_up(self, member: Member, event_name: str) -> None:
        """Clean up after an event; what can't be saved is an error of its handlers."""
        if not getattr(getcurrent(), "is_dirty", False):
            return
        request = member.socket.request
        try:
            self._hooks.after_event(request)
        except BaseException as error:  # ends no more than the event
            if isinstance(error, KeyboardInterrupt):
                raise
            self._handler_raised(member, event_name, error)
            self._hooks.forget_changes(request)  # of on_error, which could not be saved either
            self._hooks.after_event(request)

    # --- For rights ---------------------------------------------------------------------------

    def ask(self, member: Member, event: Event, handlers: Sequence[Registration], arg: str) -> Any:
        """Return the answer of handlers that may refuse (``Runner``)."""
        return self.fire(member, event, handlers, (arg,))

    def restore(self, captured: Any) -> None:
        """Activate the captured state of a client's handshake (``Runner``)."""
        self._hooks.restore(captured)

    def raised(self, error: BaseException) -> None:
        """Pass on what a handler has raised, besides the log (``Runner``)."""
        if self._on_raised is not None:
            self._on_raised(error)

    # ------------------------------------------------------------------------------------------

    def _run_middleware(
        self,
        middleware: CallNext,
        member: Member,
        event: Event,
        handlers: Sequence[Registration],
        args: Sequence[Any],
    ) -> Any:
        call = EventCall(
            event.name, member.socket, args, partial(self._run, member, event, handlers)
        )
        try:
            answer = middleware(call)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # ends no more than the handler
            if event.can_refuse:
                raise
            if event.answers and isinstance(error, self.refusals):
                self._hooks.forget_changes(member.socket.request)
                return error_of(*refusal_of(error))
            self._handler_raised(member, event.name, error)
            return NO_ANSWER
        return NO_ANSWER if call.raised and answer is None else answer

    def _run(
        self,
        member: Member,
        event: Event,
        handlers: Sequence[Registration],
        args: Sequence[Any],
    ) -> Any:
        answer: Any = None
        raised = False
        socket, wrap = member.socket, self._hooks.wrap_handler
        for registration in handlers:
            try:
                handler = registration.handler
                if wrap is not None:
                    handler = wrap(handler, event.is_refusal)
                own = validation.convert(registration.types, args) if registration.types else args
                result = handler(socket.request, socket, socket.context, *own)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # ends no more than the handler
                if isinstance(error, TypeError) and event.arguments is None:
                    _note_arguments(error, registration, event.name, args)
                if event.can_refuse:
                    is_absence = event.must_grant and isinstance(error, self._hooks.absences)
                    if self._hints is not None and (is_absence or isinstance(error, self.refusals)):
                        self._hints.refusal(event, registration, args, error)
                    if is_absence:
                        raise Reject(DENIED) from error
                    raise
                if event.answers and isinstance(error, self.refusals):
                    self._hooks.forget_changes(member.socket.request)
                    if self._hints is not None:
                        self._hints.refusal(event, registration, args, error)
                    if answer is None:
                        answer = error_of(*refusal_of(error))
                    continue
                raised = True
                self._handler_raised(member, event.name, error)
                if isinstance(error, ValidationError) and answer is None:
                    answer = {"error": str(error)}
            else:
                if result is not None:
                    if not self._is_meant(member, event, registration, args, result):
                        raised = True
                    elif answer is None:
                        answer = result
                elif event.must_grant:
                    self._refuse(event, registration, args, result)
        return NO_ANSWER if raised and answer is None else answer

    def _is_meant(
        self,
        member: Member,
        event: Event,
        registration: Registration,
        args: Sequence[Any],
        result: Any,
    ) -> bool:
        """Return whether a handler's return value can be meant; if not, it is an error of the
        handler.

        :raises Reject: if the event can be refused, and the value refuses or can't be meant.
        """
        mistake = self._hooks.find_mistake(result)
        if mistake is not None:
            why = f"{describe(registration.handler)} returned {mistake}"
            self._handler_raised(member, event.name, TypeError(why))
            if event.can_refuse:
                raise Reject
        elif event.is_refusal(result):
            self._refuse(event, registration, args, result)
        return mistake is None

    def _refuse(
        self, event: Event, registration: Registration, args: Sequence[Any], result: Any
    ) -> None:
        """Refuse the client, because of what a handler returned.

        :raises Reject: always.
        """
        if self._hints is not None:
            self._hints.refusal(event, registration, args, result=result)
        raise Reject(DENIED) if event.must_grant else Reject

    def _handler_raised(self, member: Member, event_name: str, error: BaseException) -> None:
        """Log a handler's exception, and run ``on_error``; the connection goes on.

        A client that makes a handler raise with every message must not fill the log: the same
        exception from the same place is logged once in a while for each session, because a client
        gets a new socket as often as it joins.
        """
        if isinstance(error, ValidationError):  # the client's fault, not the handler's
            why = (
                f"invalid message to {event_name} from socket {member.delivery.id}: "
                f"{show(str(error))}"
            )
            member.router.session.client_refused(RefusalKind.MESSAGE, why)
        else:
            more = self._stats.refusals.throttle(
                (event_name, type(error), place_of(error)), member.router.session.key
            )
            if more is not None:
                is_refusal = isinstance(error, self.refusals)
                _log_raised(error, event_name, member.delivery.id, more, is_refusal=is_refusal)
                self._hooks.report_exception(member.socket, event_name, error)
            self._hooks.tell(
                Happening.HANDLER_FAILED, member.socket, event=event_name, exception=error
            )
        self._hooks.forget_changes(member.socket.request)
        if self._on_raised is not None:
            self._on_raised(error)
        on_error = self._registry.on_error
        if event_name != on_error.name:
            self._run(member, on_error, member.select(on_error), (error,))


def _note_arguments(
    error: TypeError, registration: Registration, event_name: str, args: Sequence[Any]
) -> None:
    """Add to a custom event's error, if the call itself has failed, what the handler was given."""
    traceback = error.__traceback__
    if traceback is not None and traceback.tb_next is None:
        error.add_note(
            f"{describe(registration.handler)} got request, socket, context and, from the client, "
            f"{len(args)} argument{'' if len(args) == 1 else 's'} of the event {show(event_name)}"
        )


def _log_raised(
    error: BaseException, event_name: str, socket_id: str, more: str, *, is_refusal: bool
) -> None:
    if is_refusal:
        text = (
            "Handler of %s raised %r for socket %s, which refuses nothing there: the event has "
            "happened already (%s:%s)%s"
        )
        place = place_of(error) or ("?", 0)
        logger.error(text, event_name, error, socket_id, *place, more)
    else:
        text = "Handler of %s raised for socket %s%s"
        logger.error(text, event_name, socket_id, more, exc_info=error)


def error_of(message: str, data: Any) -> dict[str, Any]:
    """Return the acknowledgement of a refused client."""
    return {"error": message} if data is None else {"error": message, "data": data}
