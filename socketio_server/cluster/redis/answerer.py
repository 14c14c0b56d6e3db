"""Answers the requests of other servers, which list, change and ask the sockets of this process."""

import logging
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from typing import Any

import gevent
from msgspec import UNSET, Raw, UnsetType

from socketio_server.cluster.broker import (
    Envelope,
    LocalNode,
    LocalOperations,
    Patience,
    Recipients,
)
from socketio_server.cluster.envelopes import are_wanted, to_recipients
from socketio_server.exceptions import DecodeError
from socketio_server.net.log import show
from socketio_server.net.refusals import RefusalKind, Refusals
from socketio_server.protocol.cluster_requests import (
    ACKNOWLEDGEMENT,
    CLIENT_COUNT,
    COUNT,
    EVENT_ANSWER,
    LIMIT,
    SERVER,
    USERS,
    WANTS_IDS,
    Ask,
    Disconnect,
    FetchSockets,
    Join,
    Leave,
    ListRooms,
    ListSockets,
    Request,
    Response,
    ServerEvent,
    encode_response,
    encode_value,
)
from socketio_server.protocol.redis_adapter import ChannelNames, Opts, room_names

MAX_UNDERWAY = 1000
"""Requests that wait for clients side by side, and as many lookups that are answered one after
another; more are dropped."""

ASK_TIMEOUT = 5.0
"""Seconds that clients have for their acknowledgements if the asking server does not tell."""

MAX_ASK_TIMEOUT = 600.0
"""Seconds that they have at most: the asking server may have ended, and nobody tells."""

Lookup = ListSockets | ListRooms | FetchSockets
"""A request that is answered from what this process knows."""

logger = logging.getLogger("socketio_server")


class Answerer:
    """Does what requests ask for. It is called by the listener, and never waits.

    :param publish: publishes a message on a channel of Redis soon.
    :param decode_event: decodes the name and arguments of an event for clients.
    :param refusals: counts and logs events that clients can't be asked.
    :param patience: lets others run between lookups.
    :param clock: a monotonic clock, in seconds.
    :param max_time: seconds that lookups may take before others run.
    """

    def __init__(
        self,
        node: LocalNode,
        operations: LocalOperations,
        channels: ChannelNames,
        publish: Callable[[bytes, bytes], object],
        decode_event: Callable[[Raw], list[Any]],
        refusals: Refusals,
        *,
        patience: Patience,
        clock: Callable[[], float],
        max_time: float,
    ) -> None:
        self._node = node
        self._operations = operations
        self._channels = channels
        self._publish = publish
        self._decode_event = decode_event
        self._refusals = refusals
        self._patience = patience
        self._clock = clock
        self._max_time = max_time
        self._underway = 0  # requests that wait for clients
        # Each behind its namespace. While there are any, a greenlet answers them.
        self._lookups: deque[tuple[str, Lookup]] = deque()

    def handle(self, namespace: str, request: Request) -> None:
        """Change sockets at once, or answer soon.

        :raises DecodeError: if too much is asked, or an event is malformed.
        """
        operations = self._operations
        if isinstance(request, Join | Leave | Disconnect):
            recipients = self._recipients(request.opts, namespace)
            if isinstance(request, Join):
                operations.join(recipients, room_names(request.rooms))
            elif isinstance(request, Leave):
                operations.leave(recipients, room_names(request.rooms))
            else:
                operations.disconnect(recipients, close=request.close)
        elif isinstance(request, ServerEvent):
            self._run_event(namespace, request)
        elif isinstance(request, Ask):
            if are_wanted(room_names(request.opts.rooms), namespace, self._node):
                _require_place(self._underway)
                # At once, because what was published behind it must not overtake it.
                self._ask(namespace, request, self._decode_event(request.packet.data))
            else:
                self._count_asked(namespace, request, ())
        else:
            _require_place(len(self._lookups))
            self._lookups.append((namespace, request))
            if len(self._lookups) == 1:
                gevent.spawn(self._answer_lookups)

    def _wait_for_clients(self, wait: Callable[[], None]) -> None:
        try:
            _answer(wait)
        finally:
            self._underway -= 1

    def _answer_lookups(self) -> None:
        """Answer lookups one after another; let others run from time to time."""
        began = self._clock()
        while self._lookups:
            _answer(partial(self._look_up, *self._lookups[0]))
            if self._clock() - began > self._max_time:
                self._patience.let_others_run()
                began = self._clock()
            self._lookups.popleft()  # only now, because the next one would begin another greenlet

    def _look_up(self, namespace: str, request: Lookup) -> None:
        self._respond(namespace, self._found(namespace, request), request.uid)

    def _found(self, namespace: str, request: Lookup) -> Response:
        request_id, operations = request.request_id, self._operations
        if isinstance(request, ListRooms):
            return Response(request_id=request_id, rooms=[*operations.rooms(namespace)])
        if isinstance(request, FetchSockets):
            return self._fetch(namespace, request)
        recipients = self._recipients(Opts(rooms=request.rooms), namespace)
        ids = [record.id for record in operations.records(recipients)]
        return Response(request_id=request_id, sockets=[*ids])

    def _fetch(self, namespace: str, request: FetchSockets) -> Response:
        """Return records of sockets, or what else the flags of one of our servers ask for."""
        response, operations = Response(request_id=request.request_id), self._operations
        recipients = self._recipients(request.opts, namespace)
        flags = request.opts.flags or {}
        if SERVER in flags:
            response.server = operations.server() or UNSET
        elif COUNT in flags:
            response.count = operations.count(recipients)
        elif USERS in flags:
            response.users = [*operations.users(recipients)]
        else:
            limit = flags.get(LIMIT)
            if (
                isinstance(limit, bool)
                or not isinstance(limit, int)
                or not 0 <= limit <= sys.maxsize
            ):
                limit = None
            response.sockets = [*operations.records(recipients, limit)]
        return response

    def _recipients(self, opts: Opts, namespace: str) -> Recipients:
        return to_recipients(room_names(opts.rooms), room_names(opts.skip), namespace, self._node)

    def _count_asked(self, namespace: str, request: Ask, socket_ids: Sequence[str]) -> None:
        """Tell the asking server which clients are asked to acknowledge an event."""
        response = Response(
            type=CLIENT_COUNT,
            request_id=request.request_id,
            client_count=len(socket_ids),
            socket_ids=list(socket_ids) if _wants_ids(request) else UNSET,
        )
        self._respond(namespace, response, request.uid)

    def _ask(self, namespace: str, request: Ask, data: Sequence[Any]) -> None:
        """Pass an event on to clients, and soon their acknowledgements to the asking server."""
        recipients = self._recipients(request.opts, namespace)
        wants_ids = _wants_ids(request)
        name, *args = data

        def answered(socket_id: str, values: Sequence[Any] | None) -> None:
            packet: Raw | UnsetType = encode_value(values[0]) if values else UNSET
            if values is None and not wants_ids:
                return  # Node's servers don't tell that a client has left
            response = Response(
                type=ACKNOWLEDGEMENT,
                request_id=request.request_id,
                packet=packet,
                socket_id=socket_id if wants_ids else UNSET,
                gone=True if values is None else UNSET,
            )
            self._respond(namespace, response, request.uid)

        envelope = Envelope(
            namespace=namespace,
            event_name=name,
            args=tuple(args),
            channels=recipients.channels,
            socket_ids=recipients.socket_ids,
            skip=recipients.skip,
            skip_channels=recipients.skip_channels,
        )
        timeout = _timeout_of((request.opts.flags or {}).get("timeout"))
        try:
            wait = self._operations.pass_on(
                envelope,
                timeout,
                asked=partial(self._count_asked, namespace, request),
                answered=answered,
            )
        except (TypeError, ValueError) as error:  # nobody was asked
            why = f"event {show(name)} of another server: {error}"
            self._refusals.add(RefusalKind.CLUSTER, "Redis", why)
            self._count_asked(namespace, request, ())
        else:
            self._underway += 1
            gevent.spawn(self._wait_for_clients, wait)

    def _run_event(self, namespace: str, request: ServerEvent) -> None:
        answer = None
        if request.request_id is not UNSET:
            answer = partial(self._answer_event, namespace, request.request_id)
        self._operations.run_event(namespace, request.data, answer)

    def _answer_event(self, namespace: str, request_id: str, value: Any) -> None:
        data = UNSET if value is None else value
        response = Response(type=EVENT_ANSWER, request_id=request_id, data=data)
        self._respond(namespace, response, UNSET)  # for all, as in Node

    def _respond(self, namespace: str, response: Response, uid: str | UnsetType) -> None:
        """Publish a response, for the server that asked if it said who it is."""
        channel = self._channels.response(namespace, None if uid is UNSET else uid)
        self._publish(channel, encode_response(response))


def _require_place(underway: int) -> None:
    """Raise ``DecodeError`` if as many requests are answered as may be."""
    if underway >= MAX_UNDERWAY:
        raise DecodeError("more requests at once than are answered")


def _answer(answer: Callable[[], None]) -> None:
    """Answer a request; what that raises is a mistake of ours, and harms no other request."""
    try:
        answer()
    except Exception:
        logger.exception(
            "Internal error while answering another server, which counts this one as missing: "
            "report it with its traceback"
        )


def _wants_ids(request: Ask) -> bool:
    flags = request.opts.flags
    return flags is not None and flags.get(WANTS_IDS) is True


def _timeout_of(milliseconds: Any) -> float:
    """Return the seconds that clients have, from what a request says."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return ASK_TIMEOUT
    try:
        seconds = milliseconds / 1000
    except OverflowError:
        return ASK_TIMEOUT
    return min(max(seconds, 0.0), MAX_ASK_TIMEOUT) if isfinite(seconds) else ASK_TIMEOUT
