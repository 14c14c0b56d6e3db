"""The scope of a recheck: whose rights are to be verified again."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from socketio_server.protocol.names import MAIN_NAMESPACE

Kind = Literal["everyone", "user", "channel", "session", "logout", "replaced"]


@dataclass(frozen=True)
class Scope:
    """Whom to verify again.

    :param kind: ``session``: its data may have changed, or it is gone; ``logout``: it is about to
        end; ``replaced``: its key was replaced, which is no loss of rights.
    :param value: the user's room, the channel, or the digest of the session's key.
    :param namespace: the channel's.
    :param is_forced: whether all are verified, or only those whose fingerprint has changed.
    """

    kind: Kind
    value: str = ""
    namespace: str = MAIN_NAMESPACE
    is_forced: bool = True


def digest_of(session_key: str | None) -> str:
    """Return what tells a session to other processes: its key would let anybody be its user."""
    return sha256((session_key or "").encode()).hexdigest()
