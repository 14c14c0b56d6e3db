"""How large a client's ``auth`` may be, and what the client is charged for it.

``auth`` comes with the packet that asks to join a namespace, is decoded like any packet
(``protocol.socketio``) by the worker that runs ``on_connect``, and is kept as long as the socket.
Therefore its size is limited (``SOCKETIO_MAX_AUTH_SIZE``) for all of a client's sockets together,
before it is decoded.
"""

from collections.abc import Iterable
from sys import getsizeof

from socketio_server.dispatch.client_account import ClientAccount
from socketio_server.dispatch.member import Member
from socketio_server.options import Options
from socketio_server.protocol import socketio


def is_auth_too_large(size: int, members: Iterable[Member], options: Options) -> bool:
    """Return whether a client sends more ``auth`` than it may, with what its sockets keep.

    :param size: the characters of it, as JSON.
    :param members: the client's, in all namespaces.
    """
    return size + sum(member.auth_size for member in members) > options.max_auth_size


def charge_for_auth(account: ClientAccount, member: Member, packet: socketio.Kept) -> None:
    """Charge a client for the ``auth`` that its new socket keeps, and for its text until then.

    After calling this, call ``account.weigh``.

    :param packet: the packet that it came with.
    """
    member.auth_packet = packet
    member.auth_cost = socketio.estimate_size(packet)
    account.other_bytes += member.auth_cost


def decode_auth(member: Member) -> None:
    """Give a new socket its ``auth``, if the client has sent some.

    :raises DecodeError: if it is malformed.
    """
    packet, member.auth_packet = member.auth_packet, None
    if packet is not None:
        member.socket.auth = socketio.decode_kept(packet).data
        size = getsizeof(packet)
        member.auth_cost -= size
        member.router.charge(-size)


def return_charge(account: ClientAccount, member: Member) -> None:
    """Charge a client no more for the ``auth`` of a socket that has ended."""
    account.charge(-member.auth_cost)
