"""The cases are compared with the places, so that a new one needs a case."""

from tests.callbacks.cases import CASES
from tests.callbacks.places import PACKAGE, Callbacks
from tests.callbacks.test_others import COVERED


def test_each_callback_that_the_package_gives_the_loop_has_a_case() -> None:
    found = set().union(*(Callbacks(path).found for path in PACKAGE.rglob("*.py")))
    assert found == {case.entry for case in CASES} | COVERED
