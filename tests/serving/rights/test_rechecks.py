"""Rechecks: who is verified again, and when; how many at a time is in ``test_recheck_queue.py``,
what is taken in
``tests/dispatch/test_rights.py``, and what the signals tell in ``test_revocations.py``.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import connections, transaction
from django.db.models.signals import post_save
from django.test import TestCase, override_settings
from gevent.event import Event

import socketio_server
from socketio_server import EVERYONE
from socketio_server.decorators import permission_required
from socketio_server.net.workers import Job
from socketio_server.registry.guards import Guarded
from socketio_server.serving import current, everywhere, outside
from socketio_server.serving.around_events.hooks import DjangoHooks
from socketio_server.serving.rights import rechecks
from socketio_server.serving.rights.recheck_scopes import Scope, digest_of
from socketio_server.serving.rights.rechecks import (
    CLUSTER_EVENT,
    PIECE,
    Rechecks,
    scope_of,
)
from socketio_server.sockets.this_process import CLIENTS
from tests.fakes.hub import settle
from tests.fakes.rechecks import CountingHooks
from tests.fakes.server import FakeClient, FakeServer
from tests.serving.rights.site import held_permissions, make_permission
from tests.support.users import WITH_USERS, browser_of, make_user, request_of


class Site:
    """A server whose clients are guarded, with rechecks whose workers the test runs."""

    def __init__(self, hooks: DjangoHooks | None = None) -> None:
        self.server = FakeServer(hooks=hooks)
        grants = self.server.dispatcher.rights._grants
        self.members = {"room-1", "room-2"}
        self.jobs: list[Job] = []
        self.hooks = CountingHooks()
        self.rechecks = Rechecks(grants, self.server.clients, self, hooks=self.hooks, interval=0)
        self.server.registry.authorize(lambda r, s, c, channel: channel in self.members)

    def run(self, job: Job) -> None:
        """Let a worker wait for the test (``JobRunner``)."""
        self.jobs.append(job)

    def work(self) -> None:
        """Let the workers do their work."""
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job.work()

    def connect(self) -> FakeClient:
        return self.server.connect(channels=["room-1", "room-2"])


@pytest.fixture
def site() -> Site:
    return Site()


def channels(*clients: FakeClient) -> list[list[str]]:
    return [client.socket.channels for client in clients]


class TestWhoIsVerified:
    def test_is_everyone(self, site: Site) -> None:
        clients = [site.connect(), site.connect()]
        site.members.clear()
        site.rechecks.ask(Scope("everyone"))
        site.work()

        assert channels(*clients) == [[], []]

    def test_is_everyone_on_a_channel_for_that_channel(self, site: Site) -> None:
        client = site.connect()
        site.members.clear()
        site.rechecks.ask(Scope("channel", "room-1"))
        site.work()

        assert channels(client) == [["room-2"]]

    @pytest.mark.parametrize(
        "scope",
        [
            Scope("channel", "room-1", "/chat"),
            Scope("channel", "room-3"),
            Scope("user", "~user:auth.user:1"),
            Scope("session", digest_of("a key")),
            Scope("replaced", digest_of("a key")),
        ],
    )
    def test_is_nobody_else(self, site: Site, scope: Scope) -> None:
        client = site.connect()
        site.members.clear()
        site.rechecks.ask(scope)
        site.work()

        assert channels(client) == [["room-1", "room-2"]]

    def test_is_who_is_connecting_too_because_its_user_may_be_read_just_now(
        self, site: Site
    ) -> None:
        asked: list[object] = []
        go_on = Event()
        site.server.registry.on_connect(Guarded(lambda *args: go_on.wait(), asked.append))
        site.server.open().send("0")
        assert len(asked) == 1
        site.rechecks.ask(Scope("user", "~user:auth.user:1"))
        site.work()
        assert len(asked) == 2

        go_on.set()
        settle()

    @pytest.mark.usefixtures("tables")
    def test_is_let_do_nothing_meanwhile_by_what_was_read_before(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site = Site(DjangoHooks(None, refresh_interval=3600.0))

        @site.server.registry.on("look")
        def look(request: Any, socket: Any, context: Any) -> bool:
            may: bool = request.user.has_perm("auth.add_user")
            return may

        @site.server.registry.on_connect(namespace="/staff")
        @permission_required("auth.add_user")
        def connect(request: Any, socket: Any, context: Any) -> None: ...

        ann = make_user()
        ann.user_permissions.add(make_permission())
        client = site.server.connect(request=request_of(browser_of(ann)))
        client.send('21["look"]')
        assert client.received() == ["31[true]"]

        held_permissions().all().delete()
        turns: Iterator[Callable[[], object]] = iter(
            [lambda: None, lambda: client.send("0/staff,")]
        )
        monkeypatch.setattr(site.hooks, "before_event", lambda: next(turns)())
        site.rechecks.ask(scope_of(ann, "/"))
        site.work()  # its first turn finds the client, the second would verify it

        assert client.received() == ['4/staff,{"message":"Permission denied"}']

    def test_is_nobody_who_has_left_meanwhile(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[object] = []
        site.server.registry.on_connect(Guarded(print, asked.append))
        client = site.connect()
        asked.clear()
        turns: Iterator[Callable[[], object]] = iter([lambda: None, lambda: client.send("1")])
        monkeypatch.setattr(site.hooks, "before_event", lambda: next(turns)())
        site.rechecks.ask(Scope("everyone"))
        site.work()  # its first turn finds the client, the second would verify it

        assert next(turns, None) is None
        assert asked == []


class TestAClientWithManyChannels:
    @pytest.fixture
    def many(self) -> list[str]:
        return [f"room-{number}" for number in range(PIECE + 10)]

    def test_does_not_let_others_wait(self, site: Site, many: list[str]) -> None:
        asked: list[str] = []

        @site.server.registry.authorize
        def note(request: Any, socket: Any, context: Any, channel: str) -> bool:
            asked.append(channel)
            return True

        site.members.update([*many, "hall"])
        site.server.connect(channels=many)
        site.server.connect(channels=["hall"])
        asked.clear()
        for scope in (Scope("everyone"), Scope("channel", "hall")):
            site.rechecks.ask(scope)
        site.work()

        assert asked.index("hall") == PIECE
        assert set(asked) == {*many, "hall"}

    def test_loses_those_in_later_pieces(self, site: Site, many: list[str]) -> None:
        site.members.update(many)
        client = site.server.connect(channels=many)
        site.members.discard(many[-1])
        site.rechecks.ask(Scope("everyone"))
        site.work()

        assert client.socket.channels == many[:-1]


class TestOtherServers:
    @pytest.fixture
    def passed(self) -> list[Any]:
        return []

    @pytest.fixture
    def tell(self, site: Site, passed: list[Any]) -> Callable[..., None]:
        return site.rechecks.intercept(lambda *event: passed.append(event))

    def test_are_heard(self, site: Site, tell: Callable[..., None], passed: list[Any]) -> None:
        client = site.connect()
        site.members.clear()
        tell("/", CLUSTER_EVENT, ["channel", "room-1", "/", True], None)
        site.work()

        assert channels(client) == [["room-2"]]
        assert passed == []

    def test_have_events_of_their_own(
        self, site: Site, tell: Callable[..., None], passed: list[Any]
    ) -> None:
        tell("/", "news", [1], None)

        assert passed == [("/", "news", [1], None)]
        assert site.jobs == []

    @pytest.mark.parametrize("args", [[], ["everyone"], ["nobody", "", "/", True], [1, 2, 3, 4]])
    def test_may_say_what_is_not_understood(
        self,
        site: Site,
        tell: Callable[..., None],
        args: list[Any],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        tell("/", CLUSTER_EVENT, args, None)

        assert site.jobs == []
        assert "Ignored a recheck of another server, which has another version" in caplog.text


class TestTheReturnOfALostBroker:
    def test_lets_all_servers_verify_everybody(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent: list[Any] = []
        monkeypatch.setattr(everywhere, "emit_cluster", lambda *args, **more: sent.append(args))
        site.rechecks.make_up()
        assert sent == [(CLUSTER_EVENT, "everyone", "", "/", True)]


@pytest.mark.django_db(transaction=True)
class TestInADatabaseTransaction:
    """In the process of a server; the test client has no transactions to wait for."""

    @pytest.fixture(autouse=True)
    def _runs_here(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(current, "rechecks", site.rechecks)
        run = site.rechecks.intercept(lambda *event: None)
        monkeypatch.setattr(CLIENTS, "run_cluster_event", run)
        request_finished.send(None)  # a request that another test began would be waited for

    @pytest.fixture
    def _two_databases(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Have another database, where no transaction is under way."""
        other = connections["other"] = connections["default"].copy("other")
        monkeypatch.setattr(other, "get_autocommit", lambda: True)
        yield
        del connections["other"]

    def test_a_recheck_is_left_out_where_it_is_rolled_back(self, site: Site) -> None:
        with transaction.atomic():
            socketio_server.recheck(EVERYONE)
            transaction.set_rollback(True)

        assert site.jobs == []

    @pytest.mark.usefixtures("_two_databases")
    def test_of_another_database_a_recheck_does_not_wait(self, site: Site) -> None:
        with transaction.atomic():
            socketio_server.recheck(EVERYONE, using="other")
            assert len(site.jobs) == 1

    @pytest.mark.usefixtures("_two_databases")
    @override_settings(**WITH_USERS)
    def test_a_user_that_is_saved_waits_for_the_commit_of_its_own(self, site: Site) -> None:
        from django.contrib.auth.models import User

        saved = {"created": False, "update_fields": None}
        with transaction.atomic():
            post_save.send(User, instance=User(pk=1), using="default", **saved)
            assert site.jobs == []
            post_save.send(User, instance=User(pk=2), using="other", **saved)
            assert len(site.jobs) == 1

        assert len(site.jobs) == 2

    def test_a_recheck_that_fails_keeps_nothing_else_from_the_commit(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*event: object) -> None:
            raise LookupError

        committed: list[bool] = []
        monkeypatch.setattr(CLIENTS, "run_cluster_event", fail)
        with transaction.atomic():
            socketio_server.recheck(EVERYONE)
            transaction.on_commit(lambda: committed.append(True))

        assert committed == [True]


class TestAProcessWithoutServerAndBroker:
    def test_has_nothing_to_do(self) -> None:
        with TestCase.captureOnCommitCallbacks() as callbacks:
            socketio_server.recheck("room-1")

        assert callbacks == []

    @override_settings(SOCKETIO_BROKER_URL="nonsense")
    def test_leaves_wrong_settings_to_the_checks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(outside, "_is_tested", lambda: False)
        with TestCase.captureOnCommitCallbacks() as callbacks:
            rechecks.request_recheck(Scope("everyone"))

        assert callbacks == []


@pytest.mark.django_db
class TestAProcessWithABrokerAndWithoutAServer:
    def test_tells_the_servers_when_it_commits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sent: list[Any] = []
        monkeypatch.setattr(CLIENTS.broker, "reaches_others", True, raising=False)
        monkeypatch.setattr(everywhere, "reach_servers", lambda: None)
        monkeypatch.setattr(everywhere, "emit_cluster", lambda *args, **more: sent.append(args))
        with TestCase.captureOnCommitCallbacks() as callbacks:
            socketio_server.recheck("room-1")
        assert sent == []

        for callback in callbacks:
            callback()
        assert sent == [(CLUSTER_EVENT, "channel", "room-1", "/", True)]


class TestASessionsKey:
    def test_is_not_told_to_other_processes(self) -> None:
        assert "secret" not in digest_of("secret")
        assert digest_of("secret") != digest_of(None)
