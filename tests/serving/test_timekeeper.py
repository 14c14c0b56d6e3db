"""Who may wait for a client in a server (semantics, 3a)."""

from collections.abc import Callable

import gevent
import pytest
from django.db import transaction

from socketio_server.serving.timekeeper import GeventTimekeeper
from tests.fakes import settle


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


class TestTheLoopsTurn:
    def test_lets_all_others_go_on_that_can(self, timekeeper: GeventTimekeeper) -> None:
        order: list[str] = []

        def note(word: str) -> Callable[[], None]:
            return lambda: order.append(word)

        gevent.spawn(note("other"))
        timekeeper.let_others_run()
        order.append("we")

        assert order == ["other", "we"]
