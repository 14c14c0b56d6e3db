"""The pages of the documentation, taken apart: fenced blocks, headings, links, tables.

A fenced block says what it is behind its opening fence: a language, and where its text belongs to a
file of the reader's project, that file's path. ``test_snippets`` holds what each kind is checked
for; nothing in the pages goes unchecked.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.server import ROOT

DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
_FENCE = re.compile(r"```(.*)")
_HEADING = re.compile(r"(#+) (.*)")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
_CODE = re.compile(r"`[^`]*`")
_NOT_IN_SLUG = re.compile(r"[^\w\- ]")


class Block(NamedTuple):
    """A fenced block."""

    page: str
    line: int
    language: str
    path: str | None
    """The file of the reader's project that it belongs to; for output, what it is."""

    name: str | None
    """If it shows what stands elsewhere: a function of the package, or a page (``embedded``)."""

    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


class Page:
    """One page.

    :param path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path.relative_to(ROOT))
        self.blocks: list[Block] = []
        self.prose: list[str] = []
        """The lines outside of blocks."""
        self._read(path.read_text(encoding="utf-8").splitlines())

    def __str__(self) -> str:
        return self.name

    @property
    def headings(self) -> list[str]:
        """The headings, without their marks."""
        return [match[2] for line in self.prose if (match := _HEADING.fullmatch(line))]

    @property
    def anchors(self) -> set[str]:
        """What links may name behind a ``#``."""
        return {
            _NOT_IN_SLUG.sub("", heading.lower()).replace(" ", "-") for heading in self.headings
        }

    @property
    def links(self) -> list[str]:
        """What links and pictures point to."""
        return [target for line in self.prose for target in _LINK.findall(_CODE.sub("``", line))]

    @property
    def rows(self) -> list[list[str]]:
        """The rows of all tables, as the texts of their cells; heads and rules are left out."""
        return [
            cells
            for line, following in zip(self.prose, [*self.prose[1:], ""], strict=True)
            if line.startswith("|")
            and not line.startswith("|--")
            and not following.startswith("|--")
            for cells in [_cells(line)]
        ]

    def of(self, *languages: str) -> list[Block]:
        """Return the blocks in one of the languages."""
        return [block for block in self.blocks if block.language in languages]

    def _read(self, lines: list[str]) -> None:
        rest: Iterator[tuple[int, str]] = iter(enumerate(lines, 1))
        for number, line in rest:
            opening = _FENCE.fullmatch(line)
            if opening is None:
                self.prose.append(line)
                continue
            words = opening[1].split()
            text = []
            for _, inner in rest:
                if inner == "```":
                    break
                text.append(inner + "\n")
            language, path, name = (*words, None, None, None)[:3]
            self.blocks.append(Block(self.name, number, language or "", path, name, "".join(text)))


def _cells(line: str) -> list[str]:
    """Return a row's cells; ``\\|`` is no border between two."""
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def code(cell: str) -> str:
    """Return what a cell or heading shows as code, which must be all of it."""
    match = re.fullmatch(r"`([^`]+)`", cell)
    assert match is not None, f"{cell!r} is no code"
    return match[1]


@cache
def pages() -> tuple[Page, ...]:
    """Return all pages."""
    paths = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *EXAMPLES.rglob("*.md")]
    return tuple(Page(path) for path in sorted(paths))


def page(name: str) -> Page:
    """Return one page by its path, ``docs/tutorial.md`` say."""
    (found,) = (page for page in pages() if page.name == name)
    return found


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages in one of the languages."""
    return [block for page in pages() for block in page.of(*languages)]
