"""The server of the tests of one folder."""

import pytest

from tests.dispatch.journal import Journal


@pytest.fixture
def server() -> Journal:
    return Journal()
