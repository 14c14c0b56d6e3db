"""Django's settings as the server's options.

``SOCKETIO_PING_INTERVAL`` in the settings is ``options().ping_interval``: every field of
``Options`` is a setting. They are read when asked for, so ``override_settings`` works.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from math import inf
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from socketio_server.options import Options

PREFIX = "SOCKETIO_"


@dataclass(frozen=True)
class Problem:
    """A setting that can't be used: its name, what is wrong with it, and what it should be."""

    setting: str
    message: str


def options() -> Options:
    """Return the options as the settings give them.

    :raises ImproperlyConfigured: if a setting can't be used; ``checks`` says so earlier and nicer.
    """
    for problem in problems():
        raise ImproperlyConfigured(f"{problem.setting} {problem.message}")
    return Options(**{name: _convert(value) for name, value in _given()})


def option(name: str) -> Any:
    """Return one option, whatever the other settings hold.

    :raises ImproperlyConfigured: if its own setting can't be used.
    """
    for problem in problems():
        if problem.setting == _setting(name):
            raise ImproperlyConfigured(f"{problem.setting} {problem.message}")
    given = dict(_given())
    return _convert(given[name]) if name in given else getattr(Options(), name)


def problems() -> Iterator[Problem]:
    """Yield what is wrong with the settings."""
    given = dict(_given())
    for name, value in given.items():
        kind = _KINDS.get(name, _POSITIVE_INT)
        if not kind.accepts(value):
            yield Problem(_setting(name), f"must be {kind.description}, not {value!r}.")
    known = {_setting(field.name) for field in fields(Options)}
    for setting in dir(settings):
        if setting.startswith(PREFIX) and setting not in known:
            yield Problem(
                setting, "is no setting of socketio_server; see docs/reference/settings.md."
            )


def _given() -> Iterator[tuple[str, Any]]:
    """Yield the options that the settings hold."""
    for field in fields(Options):
        setting = _setting(field.name)
        if hasattr(settings, setting):
            yield field.name, getattr(settings, setting)


def _setting(name: str) -> str:
    return PREFIX + name.upper()


def _convert(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class _Kind:
    """What a setting may be, for people and for the program."""

    description: str

    def accepts(self, value: Any) -> bool:
        raise NotImplementedError


class _Text(_Kind):
    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and bool(value)


class _OptionalText(_Kind):
    def accepts(self, value: Any) -> bool:
        return value is None or (isinstance(value, str) and bool(value))


class _Flag(_Kind):
    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class _Integer(_Kind):
    least: int = 1
    most: int | None = None
    optional: bool = False

    def accepts(self, value: Any) -> bool:
        if value is None:
            return self.optional
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return value >= self.least and (self.most is None or value <= self.most)


@dataclass(frozen=True)
class _Seconds(_Kind):
    may_be_zero: bool = False

    def accepts(self, value: Any) -> bool:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        return 0 < value < inf or (self.may_be_zero and value == 0)


@dataclass(frozen=True)
class _Texts(_Kind):
    choices: frozenset[str] | None = None
    optional: bool = False

    def accepts(self, value: Any) -> bool:
        if value is None:
            return self.optional
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
            return False
        return self.choices is None or (bool(value) and self.choices.issuperset(value))


class _Origins(_Texts):
    def accepts(self, value: Any) -> bool:
        return super().accepts(value) and all(_ORIGIN.fullmatch(origin) for origin in value)


_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/?#\s]+")
_SECONDS = _Seconds("a number of seconds above 0")
_POSITIVE_INT = _Integer("a whole number above 0")
_KINDS: dict[str, _Kind] = {
    "host": _Text("the name or address of a host"),
    "port": _Integer("a port number from 0 to 65535", least=0, most=65_535),
    "message_log_format": _OptionalText("a %-format or None"),
    "events": _Texts("a list of modules' dotted names or None", optional=True),
    "compression_threshold": _Integer("a number of bytes, or None", least=0, optional=True),
    "database_idle_timeout": _Seconds("a number of seconds, or 0", may_be_zero=True),
    "cookie": _OptionalText("a cookie's name, or None"),
    "per_message_deflate": _Flag("True or False"),
    "allow_eio3": _Flag("True or False"),
    "trusted_proxies": _Texts("a list of addresses"),
    "middleware": _Texts("a list of dotted paths"),
    "transports": _Texts(
        'a list of "polling", "websocket" or both', choices=frozenset(("polling", "websocket"))
    ),
    "allowed_origins": _Origins('a list of origins as "https://example.com", or ["*"]'),
    **dict.fromkeys(
        (
            "ping_interval",
            "ping_timeout",
            "connect_timeout",
            "upgrade_timeout",
            "head_timeout",
            "body_timeout",
            "keep_alive_timeout",
            "close_timeout",
            "drain_timeout",
            "stall_timeout",
            "max_time_per_turn",
        ),
        _SECONDS,
    ),
}
