"""Acknowledgements where no server runs."""

import pytest
from gevent.event import Event

from socketio_server.sockets.acknowledgements import NoTimekeeper


class TestNoTimekeeper:
    """There is no client to wait for."""

    def test_lets_nobody_wait_for_room(self) -> None:
        assert not NoTimekeeper().may_wait()

    def test_raises_where_somebody_waits_all_the_same(self) -> None:
        with pytest.raises(RuntimeError, match="no server runs"):
            NoTimekeeper().wait(Event(), 0.0)
        with pytest.raises(RuntimeError, match="no server runs"):
            NoTimekeeper().call_later(0.0, lambda: None)
