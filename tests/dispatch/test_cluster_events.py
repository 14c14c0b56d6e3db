"""The handlers of events that servers send each other."""

from functools import partial
from typing import Any, cast

import pytest
from greenlet import getcurrent

from socketio_server.dispatch import cluster_events as cluster_events_module
from socketio_server.dispatch.cluster_events import ClusterEvents
from socketio_server.events import EventError
from tests.fakes.hub import make_pool, settle
from tests.fakes.server import FakeServer, RecordingHooks


class Cluster:
    """The events, and what they are answered with."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.hooks = RecordingHooks()
        self.on = self.server.registry.on_cluster
        self.answers: list[Any] = []
        self.events = ClusterEvents(
            self.server.registry,
            self.hooks,
            make_pool(10),
            self.server.stats,
            clock=self.server.loop.clock,
        )

    def run(self, name: str, *args: Any, namespace: str = "/") -> list[Any]:
        """Let handlers run; return the answers."""
        self.events.run(namespace, name, args, self.answers.append)
        settle()
        return self.answers


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


class TestHandlers:
    def test_get_the_arguments_and_answer(self, cluster: Cluster) -> None:
        cluster.on("add")(lambda a, b: a + b)
        assert cluster.run("add", 1, 2) == [3]

    def test_run_all_and_the_first_that_is_not_none_answers(self, cluster: Cluster) -> None:
        ran: list[int] = []

        def handler(number: int) -> int | None:
            ran.append(number)
            return number or None

        for number in range(3):
            cluster.on("news")(partial(handler, number))
        assert cluster.run("news") == [1]
        assert ran == [0, 1, 2]

    def test_of_other_namespaces_and_names_do_not_run(self, cluster: Cluster) -> None:
        cluster.on("news", namespace="/other")(lambda: "other")
        assert cluster.run("news") == [None]
        assert cluster.run("tpyo", namespace="/other") == [None, None]
        assert cluster.run("news", namespace="/other") == [None, None, "other"]

    def test_run_in_a_worker_later(self, cluster: Cluster) -> None:
        ran: list[bool] = []
        cluster.on("news")(lambda: ran.append(True))
        cluster.events.run("/", "news", (), None)
        assert ran == []
        settle()
        assert ran == [True]

    def test_have_what_django_does_around_an_event_if_their_worker_needs_it(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done: list[str] = []

        def release(request: object) -> None:
            done.append("after")
            cast(Any, getcurrent()).is_dirty = is_kept

        def query() -> None:
            done.append("query")
            cast(Any, getcurrent()).is_dirty = True

        monkeypatch.setattr(cluster.hooks, "before_event", lambda: done.append("before"))
        monkeypatch.setattr(cluster.hooks, "after_event", release)
        cluster.on("query")(query)
        is_kept = True
        cluster.run("query")
        is_kept = False
        cluster.run("query")
        cluster.run("nothing")

        assert done == ["query", "after", "before", "query", "after"]

    def test_that_return_what_can_not_be_meant_give_no_answer(
        self, cluster: Cluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        cluster.on("news")(lambda: "a mistake")
        assert cluster.run("news") == []
        assert "returned a mistake" in caplog.text

    def test_that_raise_are_logged_and_give_no_answer(
        self, cluster: Cluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        cluster.on("news")(lambda: 1 / 0)
        assert cluster.run("news") == []
        assert "Handler of the cluster event 'news' raised" in caplog.text
        assert "ZeroDivisionError" in caplog.text

    def test_that_do_not_take_the_arguments_are_logged(
        self, cluster: Cluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        cluster.on("news")(lambda: "never")
        assert cluster.run("news", 1) == []
        assert "TypeError" in caplog.text

    def test_whose_answer_can_not_be_sent_are_logged(
        self, cluster: Cluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refuse(value: Any) -> None:
            raise TypeError("no JSON")

        cluster.on("news")(object)
        cluster.events.run("/", "news", (), refuse)
        settle()
        assert "returned a value that can't be sent: no JSON" in caplog.text

    def test_are_wrapped_as_those_of_clients_events_but_refuse_nobody(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def wrap(handler: Any, is_refusal: Any) -> Any:
            return lambda *args: ["wrapped", handler(*args), is_refusal(False)]

        monkeypatch.setattr(cluster.hooks, "wrap_handler", wrap)
        cluster.on("news")(lambda: False)
        assert cluster.run("news") == [["wrapped", False, False]]

    def test_are_run_for_a_bounded_number_of_events_at_once(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cluster_events_module, "MAX_WAITING", 1)
        cluster.on("news")(lambda: "ran")
        for _ in range(2):
            cluster.events.run("/", "news", (), cluster.answers.append)
        settle()
        assert cluster.answers == ["ran"]
        assert cluster.server.stats.refusals.counts == {"cluster": 1}
        assert cluster.run("news") == ["ran", "ran"]


class TestRegistration:
    @pytest.mark.parametrize("name", ["connect", "disconnect"])
    def test_refuses_reserved_names(self, cluster: Cluster, name: str) -> None:
        with pytest.raises(EventError, match="is reserved"):
            cluster.on(name)

    def test_needs_a_name(self, cluster: Cluster) -> None:
        with pytest.raises(EventError, match=r'needs the name of an event: @events.on_cluster\("'):
            cluster.on(lambda: None)  # type: ignore[arg-type]

    def test_refuses_what_would_not_run(self, cluster: Cluster) -> None:
        async def handler() -> None:
            """Never runs."""

        with pytest.raises(EventError, match="async def"):
            cluster.on("news")(handler)

    def test_lets_servers_be_heard_in_its_namespace_but_no_client_in(
        self, cluster: Cluster
    ) -> None:
        cluster.on("news", namespace="/servers")(lambda: None)
        registry = cluster.server.registry
        assert "/servers" in registry.namespaces
        assert not registry.has_namespace("/servers")
