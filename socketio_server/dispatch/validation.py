"""Checks a client's values against the annotations of the handler that gets them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from socketio_server.exceptions import ValidationError

_KEPT = (bytes,)  # attachments are bytes already, not base64


def convert(types: Sequence[type | None], args: Sequence[Any]) -> list[Any]:
    """Return a handler's arguments, converted to its annotations.

    :raises ValidationError: if one does not fit; names the field and the reason, and no internals
        of the server.
    """
    try:
        return [
            value if wanted is None else msgspec.convert(value, wanted, builtin_types=_KEPT)
            for wanted, value in zip(types, args, strict=False)
        ] + list(args[len(types) :])
    except msgspec.ValidationError as error:
        raise ValidationError(str(error)) from error
