"""Code that pages show again: functions of the package, and what stands on another page.

Such a block has a third word behind its opening fence: the name of the function in that file, or
the path of that page. ``make format`` writes the functions anew after a change of the source.
"""

import ast
import re
from textwrap import dedent

from tests.docs.pages import Block, Page, pages
from tests.support.server import ROOT

PACKAGE = "socketio_server/"


def source_of(block: Block) -> str:
    """Return the function that a block shows, as it stands in the source.

    :raises LookupError: if there is no such function.
    """
    assert block.path is not None
    assert block.name is not None, f"{block}: name the function behind the file"
    text = (ROOT / block.path).read_text(encoding="utf-8")
    if block.path.endswith(".js"):
        return _function_in_javascript(text, block.name)
    return _function_in_python(text, block.name)


def _function_in_python(text: str, name: str) -> str:
    node: ast.AST = ast.parse(text)
    for part in name.split("."):
        nodes = [each for each in ast.iter_child_nodes(node) if getattr(each, "name", "") == part]
        if not nodes:
            raise LookupError(f"no {part} of {name}")
        node = nodes[0]
    lines = ast.get_source_segment(text, node, padded=True)
    assert lines is not None
    return dedent(lines) + "\n"


def _function_in_javascript(text: str, name: str) -> str:
    pattern = rf"^( *)(?:function )?{name}\([^)]*\) {{\n.*?^\1}}\n"
    found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise LookupError(f"no {name}")
    return dedent(found[0])


def embedded(page: Page) -> list[Block]:
    """Return a page's blocks that show functions of the package."""
    return [block for block in page.blocks if (block.path or "").startswith(PACKAGE)]


def quoted(page: Page) -> list[Block]:
    """Return a page's blocks that show what stands on another page."""
    return [block for block in page.blocks if (block.name or "").endswith(".md")]


def write(page: Page) -> None:
    """Write a page's blocks as the source has them."""
    lines = page.path.read_text(encoding="utf-8").splitlines(keepends=True)
    for block in reversed(embedded(page)):
        lines[block.line : block.line + block.text.count("\n")] = [source_of(block)]
    page.path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    for each in pages():
        if embedded(each):
            write(each)
