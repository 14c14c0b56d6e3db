"""What to do when Redis refuses a connection or a command, for the log."""

from urllib.parse import urlsplit

from redis import AuthenticationError, ResponseError
from redis.exceptions import NoPermissionError

from socketio_server.cluster.redis.pools import masked
from socketio_server.net.log import show

MAX_TEXT = 500
"""Characters of an error: redis-py's text about Sentinel has a thousand."""

_NO_TLS = ("Timeout connecting", "WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
"""What redis-py and OpenSSL say when a server answers no TLS, or something else."""


def text_of(error: Exception) -> str:
    """Return an error's text for the log: not too long, and what is not printable escaped, because
    it may be what Redis has sent.
    """
    return "".join(
        character if character.isprintable() else repr(character)[1:-1]
        for character in str(error)[:MAX_TEXT]
    )


def explain_fault(error: Exception, url: str) -> str:
    """Return why Redis can't be used, with what the setting may have wrong: user and password if
    Redis refuses them, TLS if nothing answers it.
    """
    reason = text_of(error).rstrip(".")
    if isinstance(error, AuthenticationError) or "NOAUTH" in reason:
        remedy = "correct its user and password"
        if ":" not in urlsplit(url).netloc.rpartition("@")[0]:
            remedy += "; a password without a user is written redis://:password@host"
        return f"{reason} (SOCKETIO_BROKER_URL is {masked(url)}: {remedy})"
    if url.startswith("rediss") and any(sign in reason for sign in _NO_TLS):
        return f"{reason} (the URL asks for TLS; does this Redis speak it?)"
    return reason


def explain_permission(error: ResponseError, rules: str) -> str:
    """Return why Redis has refused a command; if it is not allowed, with the missing access rules.

    :param rules: those that the command needs.
    """
    reason = text_of(error)
    is_forbidden = isinstance(error, NoPermissionError) or reason.startswith("NOPERM")
    return f"{reason}. Its user needs the access rules {rules}" if is_forbidden else reason


def explain_command(
    error: ResponseError, verb: bytes, name: bytes | None = None, allowed: bytes | None = None
) -> ResponseError:
    """Return an error that says which command was refused, and why.

    :param verb: the command.
    :param name: the channel or pattern that it is about.
    :param allowed: the pattern of channels that the access rules should have.
    """
    command = verb.decode()
    subject = "" if name is None else f" {show(name.decode())}"
    channels = "" if allowed is None else f" &{allowed.decode()}"
    reason = explain_permission(error, f"+{command.lower()}{channels}")
    return ResponseError(f"{command}{subject}: {reason}")
