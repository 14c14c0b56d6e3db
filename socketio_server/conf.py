"""Django's settings as the server's options.

``SOCKETIO_PING_INTERVAL`` in the settings is ``options().ping_interval``: every field of
``Options`` is a setting. Each call reads the settings anew, because of ``override_settings``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_network
from typing import Any, get_type_hints

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from socketio_server.options import Options

PREFIX = "SOCKETIO_"

_TYPES = get_type_hints(Options, include_extras=True)
_DEFAULTS = Options()

_CREDENTIALS = re.compile("//.*@", re.DOTALL)
"""The name and password in a URL."""

_BEFORE_HOST = re.compile(r"(\A[\w+.-]+:/*)?.*@", re.DOTALL)
"""The same in a text that should be a URL, and perhaps is none."""

_BEYOND_SCHEME = re.compile(r"\A([\w+.-]+://)?.*", re.DOTALL)
"""All of a text but for the scheme of a URL."""

_QUERY = re.compile(r"\?.*", re.DOTALL)
"""The options of a URL, of which some are passwords."""

_BROKER_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")


@dataclass(frozen=True)
class Problem:
    """An invalid setting: its name, and the reason."""

    setting: str
    message: str

    def __str__(self) -> str:
        return f"{self.setting} {self.message}"


def options() -> Options:
    """Return the options from the settings.

    :raises ImproperlyConfigured: if a setting is invalid; the system checks report it earlier.
    """
    for problem in problems():
        raise ImproperlyConfigured(str(problem))
    return Options(**{name: _read(name) for name in _TYPES})


def option(name: str) -> Any:
    """Return one option, even if other settings are invalid.

    :raises ImproperlyConfigured: if its own setting is invalid.
    """
    problem = _problem_of(name)
    if problem is not None:
        raise ImproperlyConfigured(str(problem))
    return _read(name)


def problems() -> Iterator[Problem]:
    """Yield all invalid and unknown settings."""
    for name in _TYPES:
        problem = _problem_of(name)
        if problem is not None:
            yield problem
    known = {_setting(name) for name in _TYPES}
    for setting in dir(settings):
        if setting.startswith(PREFIX) and setting not in known:
            close = get_close_matches(setting.removeprefix(PREFIX).lower(), _TYPES, n=1)
            suggestion = f": did you mean {_setting(close[0])}?" if close else "."
            yield Problem(setting, f"is not a setting of socketio_server{suggestion}")


def _problem_of(name: str) -> Problem | None:
    """Return the problem with an option's setting; ``None`` if it is valid."""
    try:
        value = _read(name)
    except msgspec.ValidationError:
        setting = _setting(name)
        expected = _TYPES[name].__metadata__[-1].description
        value = getattr(settings, setting)
        if isinstance(value, str):
            shown = f"the text {_hide_secrets(value)!r}"
        else:
            shown = _CREDENTIALS.sub("//", repr(value))
        remedy = _remedy_for_broker_url(value) if name == "broker_url" else "."
        return Problem(setting, f"must be {expected}, not {shown}{remedy}")
    if name == "trusted_proxies":
        for text in value:
            wrong = _find_wrong_network(text)
            if wrong is not None:
                return Problem(_setting(name), f"has {text!r}, which is {wrong}")
    return None


def _hide_secrets(text: str) -> str:
    """Return a text that may be a URL without its name, password and options."""
    if re.search(r"\?.*@", text, re.DOTALL):  # nobody knows where the password is
        return _BEYOND_SCHEME.sub(r"\1…", text, count=1)
    return _QUERY.sub("?…", _BEFORE_HOST.sub(r"\1", text))


def _remedy_for_broker_url(value: object) -> str:
    """Return the end of the message about an invalid URL of the broker."""
    text = str(value).strip()
    if text.startswith(("'", '"')):
        return ": its quotes are part of it, take them out."
    scheme, separator, _ = text.partition("://")
    if not separator or scheme in _BROKER_SCHEMES:
        return "."
    if "cluster" in scheme or "shard" in scheme:
        return ": Redis Cluster and shards are not supported yet, name one Redis or its Sentinels."
    close = get_close_matches(scheme.replace("valkey", "redis"), _BROKER_SCHEMES, n=1)
    return f": did you mean {close[0]}://?" if close else "."


def _find_wrong_network(text: str) -> str | None:
    """Return why a text is no IP address or network, and the remedy; ``None`` if it is one."""
    try:
        ip_network(text)
    except ValueError:
        try:
            whole = ip_network(text, strict=False)
        except ValueError:
            return (
                'no IP address: write one as "192.0.2.80", or a network as "192.0.2.0/24"; names '
                "of hosts are not looked up, because their addresses may change."
            )
        return f'an address and a network: write "{whole}" for all of the network.'
    return None


def _read(name: str) -> Any:
    """Return an option's setting, or its default.

    :raises msgspec.ValidationError: if the setting is invalid.
    """
    setting = _setting(name)
    if not hasattr(settings, setting):
        return getattr(_DEFAULTS, name)
    value = getattr(settings, setting)
    if name == "broker_url" and isinstance(value, str) and not value.strip():
        return None  # os.environ.get("REDIS_URL", "") where there is none
    return msgspec.convert(value, _TYPES[name])


def _setting(name: str) -> str:
    return PREFIX + name.upper()
