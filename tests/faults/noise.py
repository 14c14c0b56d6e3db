"""Random input that a seed repeats: valid things, and what is left of them after damage."""

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

SEED = os.environ.get("FAULTS_SEED", "2014")
SCALE = float(os.environ.get("FAULTS_SCALE", "1"))

T = TypeVar("T")

CHARACTERS = "aZ09 _-,.:;/\\\"'[]{}()<>=+*?!@#$%^&|~`\t\n\r\x00\x1e\x7f\x85é€\u2028\ufeff\uffff😀٣"
"""Of each kind a few: letters, JSON's own, separators, other scripts' digits."""

NOTORIOUS = [b"\x00", b"\xff", b"\r\n", b"\n", b"\r\n\r\n", b"\x1e", b"\xc3\x28", b"\xed\xa0\x80"]
NOTORIOUS += [b"0", b"-1", b"65536", b"4294967296", b"9" * 25, b"1e999", b"0x10", b"%00", b"NaN"]
NOTORIOUS += [
    b"[" * 200,
    b"{" * 50,
    b'"',
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"true",
    b"," * 20,
]
"""What parsers have stumbled over."""


class Noise:
    """A source of random input.

    :param seed: what repeats it.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self.random = random.Random(seed)

    def count(self, usual: int) -> int:
        """Return how many inputs to try."""
        return max(1, round(usual * SCALE))

    @contextmanager
    def telling(self, number: int, data: object) -> Iterator[None]:
        """Tell, if something fails, which input it was, and how to get it again."""
        try:
            yield
        except BaseException as error:
            error.add_note(f"FAULTS_SEED={SEED}, input {number} of {self._seed}: {data!r}")
            raise

    def choice(self, things: Sequence[T]) -> T:
        """Return one of some things."""
        return self.random.choice(things)

    def chance(self, share: float) -> bool:
        """Return ``True`` in that share of all cases."""
        return self.random.random() < share

    def size(self, most: int) -> int:
        """Return a size, which is more often small than large."""
        return int(most ** self.random.random())

    def some_bytes(self, most: int = 64) -> bytes:
        """Return some bytes."""
        return self.random.randbytes(self.size(most))

    def text(self, most: int = 16) -> str:
        """Return some text."""
        return "".join(self.random.choices(CHARACTERS, k=self.size(most)))

    def value(self, depth: int = 4) -> Any:
        """Return what JSON can carry and all parsers read alike."""
        kind = self.random.randrange(7 if depth else 5)
        if kind == 0:
            return self.choice([None, True, False, "", 0, -1, [], {}, 2**53, -(2**53), 1.5e300])
        if kind == 1:
            return self.random.randint(-(10**12), 10**12)
        if kind == 2:
            return round(self.random.uniform(-1e6, 1e6), 6)
        if kind in (3, 4):
            return self.text(40)
        if kind == 5:
            return [self.value(depth - 1) for _ in range(self.random.randrange(5))]
        return {self.text(8): self.value(depth - 1) for _ in range(self.random.randrange(5))}

    def damage(self, data: bytes, *, others: Sequence[bytes] = ()) -> bytes:
        """Return bytes that are damaged in one to three places.

        :param others: of which parts may get in.
        """
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            data = self._damage_once(data, others)
        return data

    def _damage_once(self, data: bytes, others: Sequence[bytes]) -> bytes:
        start = self.random.randint(0, len(data))
        end = min(len(data), start + self.size(24))
        way = self.random.randrange(8)
        if way == 0:  # a byte is another
            return data[:start] + self.random.randbytes(1) + data[start + 1 :]
        if way == 1:  # a bit is flipped
            flipped = bytes(byte ^ (1 << self.random.randrange(8)) for byte in data[start:][:1])
            return data[:start] + flipped + data[start + 1 :]
        if way == 2:  # something is missing
            return data[:start] + data[end:]
        if way == 3:  # something is there again and again
            return data[:start] + data[start:end] * self.random.choice((2, 2, 3, 50)) + data[end:]
        if way == 4:  # it breaks off
            return data[:start]
        if way == 5:  # a part of something else
            other = self.choice(others or [data])
            at = self.random.randint(0, len(other))
            return data[:start] + other[at : at + self.size(40)] + data[end:]
        if way == 6:  # garbage
            return data[:start] + self.some_bytes(16) + data[start:]
        return data[:start] + self.choice(NOTORIOUS) + data[self.choice((start, end)) :]
