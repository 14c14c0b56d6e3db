"""The acknowledgements of other processes' clients, which come through the broker.

The client's own process has charged and decoded them before. Here they are kept as they came until
their caller's turn has come, and then decoded as those of this process's clients (``answers``).
Each client has an account for them. Beyond what all clients may hold, its answers are dropped if
it holds most: its session can't be ended from here.
"""

from collections.abc import Callable, Sequence
from typing import Any

from socketio_server.dispatch.answers import BoundedDecoder, ClientAnswer
from socketio_server.dispatch.client_account import InputTotal
from socketio_server.exceptions import DecodeError
from socketio_server.net.refusals import RefusalKind, Refusals
from socketio_server.protocol.cluster_requests import decode_value, estimate_size


class RemoteAnswer(ClientAnswer):
    """The acknowledgement of another process's client.

    :param kept: its value in MessagePack.
    """

    __slots__ = ()

    kept: bytes | None

    def decoded_size(self) -> int:
        """Estimate how many bytes the answer takes once it is decoded."""
        return 0 if self.kept is None else estimate_size(self.kept)

    def values(self, pause: Callable[[], None] | None = None) -> Sequence[Any]:
        """Decode the answer.

        :raises DecodeError: if it is malformed, or nested too deep.
        """
        assert self.kept is not None
        try:
            return (decode_value(self.kept, pause),)
        except DecodeError as error:
            self._router.refuse_packet(error)
            raise


class RemoteClients:
    """The clients of other processes whose answers wait here.

    :param total: counts the bytes of all clients.
    :param start_decoding: begins to decode the answers that one caller has waited for.
    """

    def __init__(
        self, total: InputTotal, refusals: Refusals, start_decoding: Callable[[], BoundedDecoder]
    ) -> None:
        self.total = total
        self.refusals = refusals
        self.start_decoding = start_decoding
        self.holding: dict[str, RemoteClient] = {}
        """By id, those that hold something; whose ids nobody tells are left out."""

    def keep(self, socket_id: str | None, packet: bytes) -> RemoteAnswer:
        """Return an answer, which its caller may hold.

        :param socket_id: the client; ``None``: its server does not tell.
        """
        known = None if socket_id is None else self.holding.get(socket_id)
        return RemoteAnswer(packet, known or RemoteClient(self, socket_id))


class RemoteClient:
    """The account of a client of another process (``AnswerRouter``, ``Laden``)."""

    __slots__ = ("_all", "_answers", "_id", "counted")

    is_local = False
    """Its session can't be ended from here (``Tenant``)."""

    is_open = False
    """Whether its session lasts is not known here (``Tenant``)."""

    def __init__(self, all_clients: RemoteClients, socket_id: str | None) -> None:
        self._all = all_clients
        self._id = socket_id
        self._answers: set[ClientAnswer] = set()
        self.counted = 0
        """Bytes of its answers that wait (``Laden``)."""

    def hold_answer(self, answer: ClientAnswer) -> None:
        """Charge the client for an answer that waits for its caller (``AnswerRouter``)."""
        self._answers.add(answer)
        if self._id is not None:
            self._all.holding[self._id] = self
        self._count(answer.size)

    def let_go(self, answer: ClientAnswer) -> None:
        """Charge the client no more for an answer (``AnswerRouter``). Idempotent."""
        if answer in self._answers:
            self._answers.remove(answer)
            if not self._answers and self._id is not None:
                self._all.holding.pop(self._id, None)
            self._count(-answer.size)

    def start_decoding(self) -> BoundedDecoder:
        """Begin to decode the answers that one caller has waited for (``AnswerRouter``)."""
        return self._all.start_decoding()

    def refuse_packet(self, error: DecodeError) -> None:
        """Count a malformed answer (``AnswerRouter``)."""
        self._all.refusals.add(RefusalKind.CLUSTER, "answers", f"answer of a client: {error}")

    def give_up(self, kind: RefusalKind, why: str) -> None:
        """Drop the client's answers (``Laden``, ``Tenant``)."""
        self._all.refusals.add(kind, "answers", f"answers through the broker: {why}")
        for answer in tuple(self._answers):
            answer.drop()

    def callback_raised(self) -> None:
        """Do nothing: its session can't be ended from here (``CallbackOwner``)."""

    def _count(self, change: int) -> None:
        self.counted += change
        self._all.total.count(self, change)
