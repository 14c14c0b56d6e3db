"""Unmasking a client's data (RFC 6455 section 5.3), by big integers: Python has nothing quicker."""

UNMASK_PIECE = 8192
"""Bytes that are unmasked by one XOR. A multiple of 4; much larger pieces are slower."""

_REPEATS = [sum(1 << 8 * start for start in range(0, size, 4)) for size in range(126)]
"""Factors that repeat a mask over so many bytes; multiplying is faster than repeating bytes."""


def read_short_text(buffer: bytes | bytearray, start: int, size: int) -> str | None:
    """Unmask a short frame as :func:`unmask` does; return its text, ``None`` if not UTF-8."""
    mask = int.from_bytes(buffer[start + 2 : start + 6], "little")
    data = int.from_bytes(buffer[start + 6 : start + 6 + size], "little") ^ mask * _REPEATS[size]
    try:
        # The key consists of whole masks, and may be up to three bytes longer than the data.
        return data.to_bytes(size + 3, "little")[:size].decode()
    except UnicodeDecodeError:
        return None


def unmask(data: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """Undo a client's masking (section 5.3) with one XOR of big integers for each piece."""
    size = len(data)
    if size > UNMASK_PIECE:
        return unmask_pieces(data, mask, piece_key(mask))
    key = (mask * (size // 4 + 1))[:size]
    unmasked = int.from_bytes(data, "little") ^ int.from_bytes(key, "little")
    return unmasked.to_bytes(size, "little")


def unmask_pieces(data: bytes | bytearray, mask: bytes | bytearray, key: int) -> bytes:
    """Unmask data of several pieces; ``key`` is their :func:`piece_key`."""
    end = len(data) - len(data) % UNMASK_PIECE
    pieces = [
        (int.from_bytes(data[start : start + UNMASK_PIECE], "little") ^ key).to_bytes(
            UNMASK_PIECE, "little"
        )
        for start in range(0, end, UNMASK_PIECE)
    ]
    if end < len(data):
        pieces.append(unmask(data[end:], mask))
    return b"".join(pieces)


def piece_key(mask: bytes | bytearray) -> int:
    """Return the mask as an integer that unmasks a whole piece by XOR."""
    return int.from_bytes(mask * (UNMASK_PIECE // 4), "little")
