"""Finds the types of a handler's messages in its annotations.

The client's message is validated and converted (``dispatch.validation``) for a parameter that is
annotated with a ``msgspec.Struct``, a dataclass or a ``TypedDict``. Other annotations are ignored.
"""

import inspect
import sys
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, is_typeddict

import msgspec

from socketio_server.exceptions import EventError

FIRST_MESSAGE = 3
"""Position of a handler's first message: behind ``request``, ``socket`` and ``context``."""


def find_types(handler: Callable[..., Any]) -> tuple[type | None, ...]:
    """Return the types that a handler's messages are converted to.

    :return: by position, ``None`` for a message that is not converted; empty if none is.
    :raises EventError: if an annotation can't be evaluated, because then messages would reach the
        handler unchecked.
    """
    try:
        parameters = list(inspect.signature(handler).parameters.values())[FIRST_MESSAGE:]
    except (TypeError, ValueError):  # a callable without a signature
        return ()
    types = tuple(
        _find_type(handler, parameter)
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    )
    return types if any(types) else ()


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
            f"The annotation {annotation!r} of {name!r} of the handler `{handler.__qualname__}` "
            "can't be evaluated; import what it names at run time, not for type checkers only"
        ) from error
