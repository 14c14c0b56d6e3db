"""What makes callbacks of these tests raise."""

import pytest

from tests.callbacks.world import Faults


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch)
