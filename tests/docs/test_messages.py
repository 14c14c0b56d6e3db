"""The index of messages, compared with the source: each has an entry, and no entry is left over.

A message is any text of two words or more in the package's code that is no docstring, and what the
page's script says in the console. What varies in it is written as ``…``, on the page and here.
"""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from socketio_server.assets import CLIENT_SHIM
from socketio_server.net.refusals import RefusalKind
from socketio_server.protocol.close_reasons import CloseReason
from tests.docs.pages import page
from tests.support.server import ROOT
from tests.support.tools import PATIENCE, require

NAME = "docs/reference/messages.md"
PACKAGE = ROOT / "socketio_server"
SHIM = PACKAGE / "static" / CLIENT_SHIM

NEVER_SAID = {
    # Names of states, for those who read the code.
    "everyone in the namespace",
    "everyone in the namespace but this socket",
    "no WebSocket besides the transport",
    "a WebSocket is open, and has sent nothing yet",
    "it has sent a probe, which was answered",
    "the handshake had no cookie: the next request decides",
    "requests must carry the cookie",
    "the client keeps no cookies",
    # What the admin and `--help` show.
    "Socket.IO server",
    "Starts a web server with Socket.IO for the whole project.",
    "Examines a running site as browsers come to it, and tells what is wrong, with the lines of "
    "nginx's configuration to change. Exits with status 1 if anything is.",
    "the site, as https://www.example.com",
    "how long to keep silent; by default 5 s longer than the ping interval",
    "the origin of its pages, if they are elsewhere",
    "the cookie of a user, as sessionid=…, if the site wants a login",
    "print all findings as JSON",
    # States of findings.
    "not examined",
    # Lists of their own have these.
    *RefusalKind,
    *CloseReason,
}

_WORDS = re.compile(r"[A-Za-z]{2,} (?:… )*[A-Za-z]{2,}")
_CODE = re.compile(r"(`+) ?(.+?) ?\1(?!`)")
_CONVERSION = re.compile(r"%(?:\(\w+\))?[sdr]")
_REFUSED = re.compile(r"Refused \(([\w ]+)\): ")

EVALUATE = """
const [, source] = /const CAUSES = (\\{.*?\\n  \\});/s.exec(require("fs").readFileSync(0, "utf8"));
const details = new Proxy({}, { get: () => "…" });
console.log(JSON.stringify(Object.values(eval(`(${source})`)).map((cause) => cause(details))));
"""
"""Tells Node.js to print the script's causes, with ``…`` for all details."""


class Message(NamedTuple):
    """A message, and where it stands in the source."""

    text: str
    place: str


def text_of(node: ast.AST) -> str | None:
    """Return the text of a string, with ``…`` for what is put into it; ``None`` of other nodes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = _CONVERSION.sub("…", node.value)
    elif isinstance(node, ast.JoinedStr):
        text = "".join(
            part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "…"
            for part in node.values
        )
    else:
        return None
    return re.sub("…+", "…", " ".join(text.split())).removesuffix(" (from …)")


def is_in(message: Message, entry: str) -> bool:
    """Whether an entry of the page shows a message, or a message of which this one is a part."""
    return re.search(re.escape(message.text).replace("…", ".*"), entry) is not None


def is_docstring(node: ast.AST) -> bool:
    """Whether a statement is a string alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def texts_in(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of the strings below a node, docstrings left out."""
    text = text_of(node)
    if text is not None:
        yield getattr(node, "lineno", 0), text
    for child in ast.iter_child_nodes(node):
        # Parts of an f-string are no strings of their own; what is put into it may have some.
        is_part = isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)
        if not (is_docstring(child) or is_part):
            yield from texts_in(child)


def messages_of_the_server() -> Iterator[Message]:
    """Yield the messages in the Python code."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for line, text in texts_in(ast.parse(path.read_text(encoding="utf-8"))):
            if _WORDS.search(text) and text not in NEVER_SAID:
                yield Message(text, f"{path.relative_to(ROOT)}:{line}")


def messages_of_the_script() -> Iterator[Message]:
    """Yield the messages in the page's script: its causes, and the errors that it throws."""
    require("node")
    script = SHIM.read_text(encoding="utf-8")
    causes = subprocess.run(
        ["node", "-e", EVALUATE],
        input=script,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    ).stdout
    for text in [*json.loads(causes), *re.findall(r'new Error\(\s*"([^"]+)"', script)]:
        yield Message(text, str(SHIM.relative_to(ROOT)))


def shown() -> list[str]:
    """Return all that the page shows as code."""
    return [text for line in page(NAME).prose for _, text in _CODE.findall(line)]


def missing(messages: Iterator[Message]) -> str:
    """Return what to add to the page, a line for each message without an entry."""
    entries = shown()
    return "\n".join(
        f"{message.place}: add to {NAME}, or change there: | `{message.text}` | cause | remedy |"
        for message in messages
        if not any(is_in(message, entry) for entry in entries)
    )


def tables() -> Iterator[list[list[str]]]:
    """Yield the rows of each table of messages."""
    rows: list[list[str]] = []
    for line in [*page(NAME).prose, ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line[1:-1].split("|")])
        elif rows:
            yield rows[2:]
            rows = []


def entry_of(row: list[str]) -> str:
    """Return the message of a row."""
    (entry,) = _CODE.findall(row[0])
    return str(entry[1])


def order(entry: str) -> str:
    """Return what an entry is sorted by: its words."""
    return " ".join(re.findall(r"[\w.:/'-]+", entry.casefold()))


class TestEveryMessage:
    def test_of_the_server_has_an_entry(self) -> None:
        todo = missing(messages_of_the_server())
        assert not todo, todo

    def test_of_the_pages_script_has_an_entry(self) -> None:
        todo = missing(messages_of_the_script())
        assert not todo, todo


class TestEveryEntry:
    @pytest.mark.parametrize("rows", list(tables()), ids=lambda rows: entry_of(rows[0])[:20])
    def test_is_in_its_place(self, rows: list[list[str]]) -> None:
        entries = [entry_of(row) for row in rows]
        assert entries == sorted(entries, key=order)

    @pytest.mark.parametrize("rows", list(tables()), ids=lambda rows: entry_of(rows[0])[:20])
    def test_has_a_cause_and_a_remedy(self, rows: list[list[str]]) -> None:
        assert all(len(row) == len(rows[0]) and all(row) for row in rows)

    def test_is_a_message(self) -> None:
        known = [*messages_of_the_server(), *messages_of_the_script()]
        for entry in (entry_of(row) for rows in tables() for row in rows):
            kind = _REFUSED.match(entry)
            assert kind is None or kind[1] in list(RefusalKind), entry
            assert any(is_in(message, entry) for message in known), f"no message has {entry!r}"


class TestALineOfTheLog:
    @pytest.mark.parametrize(
        "line",
        [
            "No handler ran for the event 'tpyo' in namespace '/': there is no handler of it: "
            "@events.on('tpyo') registers one (said once)",
            "Refused (namespace): namespace '/nope': no handler is registered for it "
            "(from 127.0.0.1)",
            "Refused (packet): malformed JSON (from 127.0.0.1)",
            "Error: That port is already in use: end the program that has it, or name another "
            "port, `runserver_socketio 9001` say.",
            "?: (socketio_server.E001) SOCKETIO_PORT must be a port number from 0 to 65535, not "
            "the text '9000'.",
            "Handlers in events: on_connect 1, on_subscribe 1, on_message 1",
            "TypeError: callback must be callable, not None",
        ],
    )
    def test_leads_to_its_entry(self, line: str) -> None:
        entries = [entry_of(row) for rows in tables() for row in rows]
        patterns = [re.escape(entry).replace("…", ".*") for entry in entries]
        assert any(re.search(pattern, line) for pattern in patterns)
