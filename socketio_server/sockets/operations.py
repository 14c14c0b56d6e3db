"""What is done with sockets and servers of all processes: here at once, elsewhere by the broker."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from secrets import token_urlsafe
from typing import Any

import msgspec
from gevent.event import Event
from gevent.queue import Empty, Queue
from msgspec import UNSET

from socketio_server.cluster.broker import Envelope, Recipients, Responses
from socketio_server.cluster.envelopes import to_opts
from socketio_server.protocol.cluster_requests import (
    COUNT,
    LIMIT,
    NO_SOCKETS,
    SERVER,
    USERS,
    WANTS_IDS,
    Ask,
    Disconnect,
    FetchSockets,
    Join,
    Leave,
    ListRooms,
    Question,
    Request,
    Response,
    ServerEvent,
    ServerFields,
    SocketFields,
    encode_value,
)
from socketio_server.protocol.names import (
    MAIN_NAMESPACE,
    RESERVED_HEAD,
    USER_ROOM_HEAD,
    may_be_socket_id,
)
from socketio_server.protocol.redis_adapter import Opts, Packet, room_names
from socketio_server.sockets.acknowledgements import Answer, Answers, Waiter
from socketio_server.sockets.clients import Clients, ClientSocket
from socketio_server.sockets.recipient import Recipient
from socketio_server.sockets.records import (
    Count,
    Replies,
    ServerStats,
    SocketRecord,
    read_record,
)

TIMEOUT = 5.0
"""Seconds that other servers have to reply, as in Node."""

CALL_TIMEOUT = 60.0
"""Seconds that a call without a timeout waits for clients of other processes, of which nobody
hears that they have left if their process has ended."""

BATCH = 100
"""Sockets that are looked at or changed before others get a turn; one that is put on several
channels, or taken off them, counts as often."""

_NOTHING = bytes(encode_value(None))
"""An acknowledgement without a value."""

logger = logging.getLogger("socketio_server")


class Operations:
    """Operations on all processes, and their part in this process (``LocalOperations``).

    :param clients: the clients of this process.
    :param describe_server: returns what other processes may know of the server of this one;
        ``None`` if none runs here.
    """

    def __init__(
        self,
        clients: Clients[Any],
        describe_server: Callable[[], ServerFields | None] = lambda: None,
    ) -> None:
        self._clients = clients
        self.server = describe_server

    # --- On all processes ---------------------------------------------------------------------

    def find(
        self, recipients: Recipients, timeout: float, limit: int | None = None
    ) -> Replies[SocketRecord]:
        """Return records of sockets.

        :param limit: of how many at most; ``None``: of all.
        """
        found = self.records(recipients, limit)
        if limit is not None and len(found) == limit:
            return Replies(map(read_record, found))
        flags = None if limit is None else {LIMIT: limit}
        responses = self._fetch(recipients, timeout, flags)
        for response in responses.received:
            found += _records_in(response)
        return Replies(map(read_record, islice(found, limit)), responses.missing)

    def count_all(self, recipients: Recipients, timeout: float) -> Count:
        """Return how many sockets there are."""
        responses = self._fetch(recipients, timeout, {COUNT: True})
        counts = (
            len(_records_in(response)) if response.count is UNSET else response.count
            for response in responses.received
        )
        return Count(self.count(recipients) + sum(counts), responses.missing)

    def find_users(self, recipients: Recipients, timeout: float) -> Replies[str]:
        """Return the users of sockets, by their rooms, each once."""
        users = dict.fromkeys(self.users(recipients))
        responses = self._fetch(recipients, timeout, {USERS: True})
        for response in responses.received:
            rooms = [] if response.users is UNSET else response.users
            for fields in _records_in(response):
                rooms = [*rooms, *fields.rooms]
            users |= dict.fromkeys(_user_rooms(room_names(rooms)))
        return Replies(users, responses.missing)

    def describe_servers(self, timeout: float) -> Replies[ServerStats]:
        """Return the numbers of all servers; Node's tell none."""
        responses = self._ask_servers(timeout)
        servers = (self.server(), *(response.server for response in responses.received))
        told = (
            ServerStats(each.name, each.counters)
            for each in servers
            if isinstance(each, ServerFields)
        )
        return Replies(told, responses.missing)

    def find_workers(self, timeout: float) -> list[str]:
        """Return what the ids of other servers' sessions begin with."""
        servers = (response.server for response in self._ask_servers(timeout).received)
        return [each.worker for each in servers if isinstance(each, ServerFields)]

    def _ask_servers(self, timeout: float) -> Responses:
        opts = Opts(rooms=[NO_SOCKETS], flags={SERVER: True})
        question = FetchSockets(request_id=_new_id(), opts=opts)
        return self._clients.broker.ask(MAIN_NAMESPACE, question, timeout)

    def subscribe(self, recipients: Recipients, channel: str) -> None:
        """Put sockets on a channel."""
        clients, namespace = self._clients, recipients.namespace
        self.join(recipients, (channel,))
        self._tell(recipients, lambda opts: Join(opts=opts, rooms=[channel]))
        if clients.is_wanted(namespace, channel):
            clients.broker.listen(namespace, channel)

    def unsubscribe(self, recipients: Recipients, channel: str) -> None:
        """Take sockets off a channel."""
        self.leave(recipients, (channel,))
        self._tell(recipients, lambda opts: Leave(opts=opts, rooms=[channel]))

    def disconnect_all(self, recipients: Recipients, *, close: bool) -> None:
        """Disconnect sockets."""
        self.disconnect(recipients, close=close)
        self._tell(recipients, lambda opts: Disconnect(opts=opts, close=close))

    def call(self, envelope: Envelope, timeout: float | None) -> Answers:
        """Send an event to clients, and wait for all their acknowledgements.

        :raises TypeError: if an argument can't be encoded; then nobody is asked.
        :raises ValueError: if it is larger than what clients or other processes take; likewise.
        """
        clients = self._clients
        broker, timekeeper = clients.broker, clients.timekeeper
        packet = None
        if broker.reaches_others:  # before anybody is asked
            data = clients.copy((envelope.event_name, *envelope.args))
            packet = Packet(2, encode_value(data), envelope.namespace)
            clients.verify_for_others(envelope.event_name, bytes(packet.data))
        with clients.asking(envelope, lambda ids: Waiter(ids, timekeeper)) as waiter:
            if packet is None:
                return waiter.wait(timeout)
            began = timekeeper.now
            limit = CALL_TIMEOUT if timeout is None else timeout
            flags = {"timeout": int(limit * 1000), WANTS_IDS: True}
            responses = self._ask(
                envelope,
                limit,
                flags,
                partial(Ask, packet=packet),
                partial(self._acknowledged_elsewhere, waiter),
            )
            left = None if timeout is None else max(timeout - (timekeeper.now - began), 0.0)
            return _add_missing(waiter.wait(left), responses.received, responses.missing)

    def channel_names(
        self, namespace: str, timeout: float, *, shared_with_node: bool
    ) -> Replies[str]:
        """Return the channels of a namespace, without sockets' ids and rooms of our own.

        :param shared_with_node: whether there may be sockets of Node's servers.
        """
        names = dict.fromkeys(self._clients.channels.names(namespace))
        question = ListRooms(request_id=_new_id())
        responses = self._clients.broker.ask(namespace, question, timeout)
        for response in responses.received:
            for name in room_names(response.rooms or ()):
                is_id = may_be_socket_id(name, of_node=shared_with_node)
                if name and not is_id and not name.startswith(RESERVED_HEAD):
                    names[name] = None
        return Replies(names, responses.missing)

    def emit_event(self, namespace: str, name: str, args: Sequence[Any]) -> None:
        """Let the handlers of all servers run for an event.

        :raises TypeError: if an argument can't be encoded.
        """
        data = self._as_json((name, *args))
        self.run_event(namespace, data, None)
        self._clients.broker.tell(namespace, ServerEvent(data=data))

    def call_event(
        self, namespace: str, name: str, args: Sequence[Any], timeout: float
    ) -> Replies[Any]:
        """Let the handlers of all servers run for an event, and wait for their answers.

        :raises TypeError: if an argument can't be encoded.
        """
        clients = self._clients
        data = self._as_json((name, *args))
        answers: list[Any] = []
        done = Event()

        def answered(value: Any) -> None:
            answers.append(value)
            done.set()

        runs_here = self.run_event(namespace, data, answered)
        began = clients.timekeeper.now
        question = ServerEvent(data=data, request_id=_new_id())
        responses = clients.broker.ask(namespace, question, timeout)
        if runs_here:
            left = max(timeout - (clients.timekeeper.now - began), 0.0)
            clients.timekeeper.wait(done, left)
        missing = responses.missing + int(runs_here and not answers)
        others = (None if each.data is UNSET else each.data for each in responses.received)
        return Replies((*answers, *others), missing)

    def _acknowledged_elsewhere(self, waiter: Waiter, response: Response) -> None:
        """Keep the acknowledgement of another process's client for who waits for it."""
        if response.gone is not True:
            socket_id = None if response.socket_id is UNSET else response.socket_id
            packet = _NOTHING if response.packet is UNSET else bytes(response.packet)
            waiter.answered_elsewhere(socket_id, self._clients.keep_answer(socket_id, packet))

    def _fetch(
        self, recipients: Recipients, timeout: float, flags: dict[str, Any] | None
    ) -> Responses:
        """Return what other servers tell of sockets.

        :param flags: what of them, if that is less than their records; Node's servers ignore it.
        """
        return self._ask(recipients, timeout, flags, FetchSockets)

    def _tell(self, recipients: Recipients, make: Callable[[Opts], Request]) -> None:
        """Have other servers act upon a request, unless it is for nobody."""
        opts = to_opts(recipients)
        if opts is not None:
            self._clients.broker.tell(recipients.namespace, make(opts))

    def _ask(
        self,
        recipients: Recipients,
        timeout: float,
        flags: dict[str, Any] | None,
        make: Callable[..., Question],
        acknowledged: Callable[[Response], None] | None = None,
    ) -> Responses:
        """Ask other servers, unless the question is of nobody.

        :param make: returns the question, given ``request_id`` and ``opts``.
        :param acknowledged: called with each acknowledgement of a client.
        """
        opts = to_opts(recipients)
        if opts is None:
            return Responses((), 0)
        opts.flags = flags
        question = make(request_id=_new_id(), opts=opts)
        return self._clients.broker.ask(recipients.namespace, question, timeout, acknowledged)

    # --- In this process ----------------------------------------------------------------------

    def join(self, recipients: Recipients, channels: Sequence[str]) -> None:
        """Put clients on channels, without waiting until they hear other processes."""
        clients, joined = self._clients, set[str]()
        allowed = [name for name in channels if name and not name.startswith(RESERVED_HEAD)]
        for recipient in self._each(recipients, steps=len(allowed)):
            added = clients.subscribe(recipient, *allowed)
            for channel in added:
                recipient.moved(channel, is_on=True)
            joined.update(added)
        for channel in joined:
            clients.broker.listen(recipients.namespace, channel, wait=False)

    def leave(self, recipients: Recipients, channels: Sequence[str]) -> None:
        """Take clients off channels."""
        for recipient in self._each(recipients, steps=len(channels)):
            for channel in self._clients.unsubscribe(recipient, *channels):
                recipient.moved(channel, is_on=False)

    def disconnect(self, recipients: Recipients, *, close: bool) -> None:
        """Disconnect clients from their namespace, or with ``close`` end their sessions."""
        for recipient in self._each(recipients):
            recipient.disconnect(close=close)

    def records(self, recipients: Recipients, limit: int | None = None) -> list[SocketFields]:
        """Return what other processes may know of clients.

        :param limit: of how many at most; ``None``: of all.
        """
        clients = self._clients
        describe = clients.handshake_describer()
        members = clients.members(recipients.namespace)
        return [
            SocketFields(
                id=recipient.id,
                handshake=describe(members[recipient].request),
                rooms=[recipient.id, *recipient.channels, *recipient.rooms],
                data=self._data_of(recipient.id, members[recipient]),
            )
            for recipient in islice(self._each(recipients, sure=True), limit)
        ]

    def count(self, recipients: Recipients) -> int:
        """Return how many of the recipients are clients of this process."""
        return sum(1 for _ in self._each(recipients, sure=True))

    def users(self, recipients: Recipients) -> list[str]:
        """Return the rooms of these clients' users, each once."""
        rooms = (room for each in self._each(recipients, sure=True) for room in each.rooms)
        return list(dict.fromkeys(_user_rooms(rooms)))

    def rooms(self, namespace: str) -> list[str]:
        """Return the channels and the sockets' ids of a namespace."""
        clients = self._clients
        ids = (recipient.id for recipient in clients.members(namespace))
        return [*ids, *clients.channels.names(namespace)]

    def pass_on(
        self,
        envelope: Envelope,
        timeout: float,
        *,
        asked: Callable[[Sequence[str]], None],
        answered: Callable[[str, Sequence[Any] | None], None],
    ) -> Callable[[], None]:
        """Send clients an event that they are to acknowledge; return what waits until they have.

        :raises TypeError: if an argument can't be encoded; then nobody is asked.
        :raises ValueError: if the event is larger than what may wait for a client; likewise.
        """
        until = self._clients.timekeeper.now + timeout
        with ExitStack() as asking:
            pending = asking.enter_context(self._clients.asking(envelope, _Acknowledged))
            asked(pending.ids)
            return partial(self._pass_back, asking.pop_all(), pending, until, answered)

    def _pass_back(
        self,
        asking: ExitStack,
        pending: "_Acknowledged",
        until: float,
        answered: Callable[[str, Sequence[Any] | None], None],
    ) -> None:
        """Wait for the acknowledgements of clients that were asked.

        :param asking: closed at the end.
        """
        timekeeper = self._clients.timekeeper
        with asking:
            for _ in pending.ids:
                try:
                    socket_id, answer = pending.queue.get(timeout=max(until - timekeeper.now, 0.0))
                except Empty:
                    return
                if answer is None:
                    answered(socket_id, None)
                    continue
                decoder = answer.start_decoding()
                try:
                    answered(socket_id, decoder.decode(answer))
                finally:
                    decoder.end()

    def run_event(
        self, namespace: str, data: Sequence[Any], answer: Callable[[Any], None] | None
    ) -> bool:
        """Let the handlers of this process run soon for an event of a server.

        :return: ``False`` if no server runs here.
        """
        run = self._clients.run_cluster_event
        if run is None:
            return False
        run(namespace, data[0], data[1:], None if answer is None else partial(self._answer, answer))
        return True

    def _each(
        self, recipients: Recipients, *, sure: bool = False, steps: int = 1
    ) -> Iterator[Recipient]:
        """Yield recipients that are connected to this process; let the loop take a turn now and
        then.

        :param sure: as in ``Clients.select``.
        :param steps: how many the work on each of them has.
        """
        timekeeper, done = self._clients.timekeeper, 0
        for recipient in self._clients.select(recipients, sure=sure):
            if not recipient.is_open:
                continue
            yield recipient
            done += steps
            if done >= BATCH:
                done = 0
                if timekeeper.may_wait():
                    timekeeper.let_others_run()

    def _answer(self, answer: Callable[[Any], None], value: Any) -> None:
        """Answer an event with a handler's value.

        :raises TypeError: if it can't be encoded.
        """
        answer(self._as_json((value,))[0])

    def _as_json(self, values: Sequence[Any]) -> list[Any]:
        """Return values as other servers get them: JSON's types, and text for binary data."""
        plain: list[Any] = msgspec.to_builtins(self._clients.copy(values))
        return plain

    def _data_of(self, socket_id: str, socket: ClientSocket) -> Any:
        """Return a socket's data; nothing, and a line in the log, if it can't be encoded."""
        try:
            return self._as_json((socket.data,))[0]
        except TypeError as error:
            logger.error(
                "The data of socket %s can't be shared, so find_sockets() shows none of it: %s. "
                "Keep in socket.context what JSON can't carry",
                socket_id,
                error,
            )
            return {}


class _Acknowledged:
    """Takes the acknowledgements of clients in the order of their arrival (``Collector``)."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids
        self.queue: Queue[tuple[str, Answer | None]] = Queue()

    def answered(self, socket_id: str, answer: Answer) -> None:
        """Note an answer."""
        answer.hold()
        self.queue.put((socket_id, answer))

    def gone(self, socket_id: str) -> None:
        """Note that a client has left."""
        self.queue.put((socket_id, None))

    def close(self) -> None:
        """Drop the answers that nobody has taken (``Collector``)."""
        while not self.queue.empty():
            _, answer = self.queue.get_nowait()
            if answer is not None:
                answer.drop()


def _records_in(response: Response) -> list[SocketFields]:
    """Return the records in a response."""
    return [each for each in response.sockets or () if isinstance(each, SocketFields)]


def _user_rooms(rooms: Iterable[str]) -> Iterator[str]:
    """Yield those rooms that are users'."""
    return (room for room in rooms if room.startswith(USER_ROOM_HEAD))


def _add_missing(answers: Answers, responses: Sequence[Response], missing: int) -> Answers:
    """Add those clients of other processes that were asked and did not acknowledge.

    :param missing: servers that have not responded.
    """
    asked = dict.fromkeys(answers.missing)
    unknown = missing  # clients and servers whose names nobody knows
    for response in responses:
        if response.socket_ids is not UNSET:
            asked.update(dict.fromkeys(response.socket_ids))
        elif response.client_count is not UNSET:
            unknown += response.client_count
    left = tuple(socket_id for socket_id in asked if socket_id not in answers.values)
    total = Answers(answers.values, left)
    total.unnamed = answers.unnamed
    total.unknown = max(unknown - len(total.unnamed), missing)
    return total


def _new_id() -> str:
    """Return the id of a request."""
    return token_urlsafe(9)
