"""Who may wait for a client in a server."""

from collections.abc import Iterator
from time import monotonic, sleep

import gevent
import pytest
from django.db import transaction
from gevent.event import Event

from socketio_server.net.deadlines import GRACE
from socketio_server.serving.timekeeper import GeventTimekeeper
from tests.fakes.hub import PATIENCE, settle
from tests.fakes.net import socket_pair


@pytest.fixture
def timekeeper() -> GeventTimekeeper:
    return GeventTimekeeper(10.0, bool)


class TestWhoMayWait:
    def test_is_any_greenlet(self, timekeeper: GeventTimekeeper) -> None:
        assert gevent.spawn(timekeeper.may_wait).get()

    def test_is_no_callback_of_the_loop(self, timekeeper: GeventTimekeeper) -> None:
        found: list[bool] = []
        gevent.get_hub().loop.run_callback(lambda: found.append(timekeeper.may_wait()))
        settle()

        assert found == [False]

    def test_is_nobody_while_the_server_stops(self) -> None:
        assert not GeventTimekeeper(10.0, lambda: True).may_wait()

    @pytest.mark.django_db(transaction=True)
    def test_is_nobody_inside_of_a_transaction(self, timekeeper: GeventTimekeeper) -> None:
        assert timekeeper.may_wait()
        with transaction.atomic():
            assert not timekeeper.may_wait()
        assert timekeeper.may_wait()


class TestALateLoop:
    """An answer that arrived in time counts, even if the loop reads it after the deadline."""

    @pytest.fixture
    def answered(self) -> Iterator[Event]:
        """Set when the loop has read what arrives while it is late, a byte in each turn."""
        event = Event()
        with socket_pair() as (ours, theirs):
            theirs.sendall(b"the answer")
            watcher = gevent.get_hub().loop.io(ours.fileno(), 1)

            def read() -> None:
                if ours.recv(1) == b"r":
                    event.set()
                    watcher.stop()

            watcher.start(read)
            yield event
            watcher.close()

    @pytest.mark.parametrize("blocked", [0.75 * GRACE, 2 * GRACE])
    def test_reads_before_it_gives_up_what_somebody_waits_for(
        self, timekeeper: GeventTimekeeper, answered: Event, blocked: float
    ) -> None:
        gevent.get_hub().loop.run_callback(sleep, blocked)
        timekeeper.wait(answered, GRACE / 2)

        assert answered.is_set()

    def test_reads_before_it_calls(self, timekeeper: GeventTimekeeper, answered: Event) -> None:
        found: list[bool] = []
        done = Event()

        def look() -> None:
            found.append(answered.is_set())
            done.set()

        timekeeper.call_later(GRACE / 2, look)
        gevent.get_hub().loop.run_callback(sleep, 2 * GRACE)
        assert done.wait(PATIENCE)

        assert found == [True]


class TestTheLoopsTurn:
    def test_lets_others_go_on(self, timekeeper: GeventTimekeeper) -> None:
        """In one turn or in a few: gevent runs callbacks for no longer than a few milliseconds."""
        others: list[str] = []
        gevent.spawn(others.append, "other")
        for _ in range(1000):
            if not others:
                timekeeper.let_others_run()

        assert others == ["other"]

    def test_comes_back_after_the_time_that_is_asked_for_although_the_loop_is_late(
        self, timekeeper: GeventTimekeeper
    ) -> None:
        hub = gevent.get_hub()
        hub.loop.update_now()
        sleep(2 * GRACE)
        began = monotonic()
        timekeeper.let_others_run(GRACE)
        assert monotonic() - began > GRACE / 2
