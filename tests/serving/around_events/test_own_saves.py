"""Sessions that handlers save themselves: in transactions, and with values that can't be stored."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import override_settings
from pytest_django import DjangoAssertNumQueries

from socketio_server.serving.around_events.sessions import MergingStore, merging
from tests.support.users import WITH_SESSIONS, create_tables

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _tables() -> Iterator[None]:
    with override_settings(**WITH_SESSIONS):
        create_tables()
        yield
        with connection.cursor() as cursor:
            for table in ("django_session", "auth_user"):
                cursor.execute(f"DROP TABLE {table}")


@pytest.fixture
def session() -> MergingStore:
    """A session that an event has read."""
    from django.contrib.sessions.backends.db import SessionStore

    stored = SessionStore()
    stored.create()
    session = merging(SessionStore)(stored.session_key)
    session.get("colour")
    return session


def stored(session: MergingStore) -> dict[str, Any]:
    """What is stored of a session."""
    return dict(session.loads(session.session_key).load())


def save(session: MergingStore, **values: Any) -> None:
    session.update(values)
    session.save()


class TestASaveInATransaction:
    def test_that_is_rolled_back_is_made_up_for_after_the_event(
        self, session: MergingStore
    ) -> None:
        with transaction.atomic():
            save(session, colour="red")
            transaction.set_rollback(True)
        assert stored(session) == {}

        assert session.modified
        session.save()
        assert stored(session) == {"colour": "red"}

    def test_that_is_committed_needs_no_other(
        self, session: MergingStore, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with transaction.atomic():
            save(session, colour="red")
        with django_assert_num_queries(0):
            session.save()
        assert not session.modified

    def test_may_be_followed_by_others_there(
        self, session: MergingStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        with transaction.atomic():
            save(session, colour="red")
            save(session, colour="blue")
            assert stored(session) == {"colour": "blue"}
            del session["colour"]
            session.save()
        assert stored(session) == {}
        assert caplog.text == ""

    @pytest.mark.parametrize("lost", [0, 1])
    def test_is_made_up_for_if_one_of_several_is_rolled_back(
        self, session: MergingStore, lost: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        with transaction.atomic():
            for number, key in enumerate(["colour", "size"]):
                with transaction.atomic():
                    save(session, **{key: "large"})
                    transaction.set_rollback(number == lost)
        session.save()
        assert stored(session) == {"colour": "large", "size": "large"}
        assert caplog.text == ""

    def test_does_not_count_as_lost_to_a_view_that_comes_behind_it(
        self, session: MergingStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        with transaction.atomic():
            save(session, colour="red")
            view = session.loads(session.session_key)
            view["colour"] = "blue"
            view.save()
            save(session, size="large")
        assert stored(session) == {"colour": "blue", "size": "large"}
        assert caplog.text == ""


class TestASave:
    def test_locks_the_row_where_the_database_can(
        self, session: MergingStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        locks: list[object] = []

        def lock(**how: object) -> str:
            locks.append(how)
            return ""  # SQLite has no words for it

        monkeypatch.setattr(connection.features, "has_select_for_update", True)
        monkeypatch.setattr(connection.ops, "for_update_sql", lock)
        save(session, colour="red")

        assert len(locks) == 1
        assert stored(session) == {"colour": "red"}


class TestAValueThatCanNotBeStored:
    def test_is_named_by_its_key(self, session: MergingStore) -> None:
        with pytest.raises(TypeError) as raised:
            save(session, colour="red", places={1, 2})

        (note,) = raised.value.__notes__
        assert "the session's value of 'places'" in note
