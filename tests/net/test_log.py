"""How clients' values are logged."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from socketio_server.net.log import MAX_LOGGED, beginning_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
)


class Touchy:
    """Nobody may write it."""

    def __repr__(self) -> str:
        raise AssertionError("it was written")


class TestTheBeginningOfAValue:
    @given(VALUES)
    def test_is_all_of_one_that_is_short(self, value: Any) -> None:
        text = str(value)
        if len(text) <= MAX_LOGGED:
            assert beginning_of(value) == text
        else:
            assert len(beginning_of(value)) > MAX_LOGGED

    def test_is_written_without_the_rest(self) -> None:
        value = {"list": [["x" * 150, 1e15], b"y" * 100, Touchy()], "other": Touchy()}
        assert str(beginning_of(value)).startswith("{'list': [['xxx")
