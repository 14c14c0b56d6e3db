"""JSON that costs most to decode, in memory or in time."""

LARGE = 980_000
"""Characters of a message that is as large as allowed."""


def fill(unit: str, size: int = LARGE) -> str:
    """Repeat JSON with commas between, in an array."""
    return "[" + ",".join([unit] * (size // (len(unit) + 1))) + "]"


EMPTY_BLOCKS = bytes.fromhex("04c0810800000000207feb47001c880000000000f2b77e" * 4)
"""Eight deflate blocks of no bytes, with Huffman codes of their own: what takes longest to inflate.
"""

WORST = {
    "empty arrays": fill("[]"),
    "deep arrays": fill("[" * 98 + "]" * 98),
    "long numbers": fill("8.988465674311578e307"),
    "empty strings": fill('""'),
    "half a character at the end": fill("[" * 98 + "]" * 98)[:-1] + ',"\\ud800"]',
    "one emoji in much text": '"' + "x" * (LARGE - 10) + '😀"',
    "an emoji in each piece of text": '"' + ("x" * 1000 + "😀") * (LARGE // 1004) + '"',
}
"""JSON that costs most, in memory or in time."""
