"""Tables for people."""

import statistics
import sys
from collections.abc import Iterable, Sequence

NOTHING = "-"


def show(title: str, rows: Iterable[Sequence[object]]) -> None:
    """Write a table in Markdown; its first row is the head."""
    head, *rest = [[str(cell) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *rest]
    say(f"\n{title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))


def say(text: str) -> None:
    """Write a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def spread(values: Sequence[float]) -> str:
    """Return median, 99th percentile and maximum of seconds."""
    if not values:
        return NOTHING
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"{statistics.median(ordered):.2f} / {p99:.2f} / {ordered[-1]:.2f}"
