"""Checks a handler's signature, and finds the types of its messages in its annotations.

The client's message is validated and converted (``dispatch.validation``) for a parameter that is
annotated with a ``msgspec.Struct``, a dataclass or a ``TypedDict``. Other annotations are ignored.
"""

import inspect
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import is_dataclass
from functools import partial
from typing import Any, is_typeddict

import msgspec

from socketio_server.exceptions import EventError
from socketio_server.registry.guards import Guarded

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

_NAME_GROUPS = ", and the named groups of its channel pattern: name them, (?P<pk>…) say"

FIRST = ("request", "socket", "context")
"""The names of what handlers of clients' events get first."""


def find_types(handler: Callable[..., Any]) -> tuple[type | None, ...]:
    """Return the types that a handler's messages are converted to.

    :return: by position, ``None`` for a message that is not converted; empty if none is.
    :raises EventError: if an annotation can't be evaluated, because then messages would reach the
        handler unchecked.
    """
    try:
        parameters = list(inspect.signature(handler).parameters.values())[len(FIRST) :]
    except (TypeError, ValueError):  # a callable without a signature
        return ()
    types = tuple(
        _find_type(handler, parameter) for parameter in parameters if parameter.kind in _POSITIONAL
    )
    return types if any(types) else ()


def check(
    handler: Callable[..., Any],
    event: str,
    arguments: Sequence[str] | None,
    groups: Collection[str] = (),
    first: Sequence[str] = FIRST,
    *,
    unnamed: bool = False,
) -> None:
    """Check that a handler can be called as its event calls it.

    What is looked at is what is called: of a decorated function the decorator's own signature, but
    for the decorators of this package, which pass on what they get.

    :param event: the event's name.
    :param arguments: the names of what it gets behind the first; ``None``: whatever the client
        sends.
    :param groups: the names of what it gets by keyword: the named groups of its channel pattern.
    :param first: the names of what it gets first.
    :param unnamed: whether the pattern also has groups without a name, which it does not get.
    :raises EventError: if it takes fewer or more, or does not run when it is called.
    """
    while isinstance(handler, Guarded):
        handler = handler.handler
    kind = _find_deferred_kind(handler)
    if kind is not None:
        raise EventError(
            f"The {event} handler {describe(handler)} is {kind}; its code would never run: make "
            "it a plain function. While it waits, others are served; asgiref.sync.async_to_sync "
            "calls async code from it"
        )
    try:
        signature = inspect.signature(handler, follow_wrapped=False)
    except (TypeError, ValueError):  # a callable without a signature
        return
    given = [*first, *(arguments or ())]
    parameters = list(signature.parameters.values())
    if groups:
        _check_groups(handler, event, parameters, given, groups)
        parameters = [each for each in parameters if each.name not in groups]
    positional = [each for each in parameters if each.kind in _POSITIONAL]
    least = sum(each.default is each.empty for each in positional)
    takes_any = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    if (arguments is not None and least > len(given)) or (
        len(positional) < len(given) and not takes_any
    ):
        got = ", ".join([*given, *(["what the client sends"] if arguments is None else [])])
        raise EventError(
            f"The {event} handler {describe(handler)} takes {len(positional)} arguments, but is "
            f"called with {len(given)}{' and more' if arguments is None else ''}: {got}"
            f"{_NAME_GROUPS if unnamed else ''}"
        )
    for each in parameters:
        if each.kind is each.KEYWORD_ONLY and each.default is each.empty:
            raise EventError(
                f"The {event} handler {describe(handler)} needs {each.name!r} by keyword, and is "
                f"called with {', '.join(given)}"
            )


def _check_groups(
    handler: Callable[..., Any],
    event: str,
    parameters: Sequence[inspect.Parameter],
    given: Sequence[str],
    groups: Collection[str],
) -> None:
    """Check that a handler takes the named groups of its channel pattern by keyword."""
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    named = {each.name for each in parameters if each.kind in _BY_KEYWORD}
    for group in groups:
        if group in given or not (group in named or takes_any):
            if group in given:
                why = "is another argument's name: rename the group"
            else:
                why = f"it does not take by keyword: name an argument {group!r}"
            raise EventError(
                f"The {event} handler {describe(handler)} has a channel pattern with the group "
                f"{group!r}, which {why}"
            )


def describe(handler: Any) -> str:
    """Return a handler's name, and the file and line of its code where there is any."""
    handler = _strip(handler)
    name = getattr(handler, "__qualname__", None) or repr(handler)
    code = getattr(inspect.unwrap(handler), "__code__", None)
    if code is None:
        code = getattr(type(handler).__call__, "__code__", None)
    return f"`{name}`" if code is None else f"`{name}` ({code.co_filename}:{code.co_firstlineno})"


def module_of(handler: Any) -> str:
    """Return the name of the module that a handler is from."""
    return str(getattr(_strip(handler), "__module__", None) or "?")


def _strip(handler: Any) -> Any:
    """Return what a partial calls."""
    while isinstance(handler, partial):
        handler = handler.func
    return handler


def _find_deferred_kind(handler: Any) -> str | None:
    """Return what a handler is that gives something to run later, if it is one."""
    handler = _strip(handler)
    for function in (handler, type(handler).__call__):
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            return "async def"
        if inspect.isgeneratorfunction(function):
            return "a generator"
    return None


def _find_type(handler: Callable[..., Any], parameter: inspect.Parameter) -> type | None:
    annotation = parameter.annotation
    if isinstance(annotation, str):
        annotation = _evaluate(handler, parameter.name, annotation)
    if not isinstance(annotation, type):
        return None
    checked = issubclass(annotation, msgspec.Struct) or is_dataclass(annotation)
    return annotation if checked or is_typeddict(annotation) else None


def _evaluate(handler: Callable[..., Any], name: str, annotation: str) -> Any:
    """Evaluate an annotation that is a string, as with ``from __future__ import annotations``."""
    module = sys.modules.get(handler.__module__)
    try:
        return eval(annotation, vars(module) if module is not None else {})
    except Exception as error:
        raise EventError(
            f"The annotation {annotation!r} of {name!r} of the handler {describe(handler)} "
            "can't be evaluated; import what it names at run time, not for type checkers only"
        ) from error
