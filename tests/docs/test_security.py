"""The page on security: each row of its tables names what tests it, and that is there."""

import re

import pytest

from tests.docs.pages import page
from tests.support.server import ROOT

NAME = "docs/security.md"
TESTS = ROOT / "tests"

_TEST = re.compile(r"`([\w.]*\btest_\w+)\.(Test\w+)`")
"""A class of tests: its module below ``tests``, or below ``tests.faults``."""


class TestPromises:
    @pytest.mark.parametrize("row", page(NAME).rows, ids=lambda row: row[0][:40])
    def test_name_in_their_last_column_what_attacks_them(self, row: list[str]) -> None:
        assert _TEST.search(row[-1]), "the last column names tests: `test_limits.TestBodies`"

    def test_name_tests_that_there_are(self) -> None:
        named = set(_TEST.findall("\n".join(page(NAME).prose)))
        missing = []
        for module, name in sorted(named):
            path = module.replace(".", "/") if "." in module else f"faults/{module}"
            source = (TESTS / f"{path}.py").read_text(encoding="utf-8")
            if not re.search(rf"^class {name}\b", source, re.MULTILINE):
                missing.append(f"{module}.{name}")
        assert missing == []
