"""The engines of these tests."""

from collections.abc import Iterator

import pytest

from tests.engine.site import Site
from tests.fakes.engine import MOMENT


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


@pytest.fixture
def impatient() -> Iterator[Site]:
    """A site where every deadline comes when its timer goes off."""
    made = Site(ping_interval=MOMENT, ping_timeout=MOMENT, upgrade_timeout=MOMENT)
    yield made
    made.close()
