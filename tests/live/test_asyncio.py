"""asyncio beside gevent: a loop that runs in one greenlet is nothing to the others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.support.client import answers_to
from tests.support.http import Http, Response
from tests.support.server import Server
from tests.support.types import Connect, StartServer
from tests.support.views import outside

LOOPS = ["awaiting", "in_thread", "streaming", "by_async_to_sync", "by_asyncio_run"]
"""Views in which a loop runs on while the view waits."""

AT_ONCE = [view for view in LOOPS if view != "in_thread"]
"""Those that need no gate."""


@pytest.fixture
def server(share_server: StartServer, database: dict[str, str]) -> Server:
    """A server of its own, so that nothing else runs beside."""
    return share_server(environment={**database, "TEST_PURPOSE": "asyncio"})


@contextmanager
def under_way(server: Server, gate: str, views: Sequence[str]) -> Iterator[list[Response]]:
    """Let views wait at a gate during the block, and then collect their answers in the list."""
    answers: list[Response] = []
    connections = [Http(server.address) for _ in views]
    try:
        for view, http in zip(views, connections, strict=True):
            http.send_request("GET", f"/asyncio/{view}/?gate={gate}")
        wait_for_loops(server, gate, len(views))
        yield answers
        outside(server, "open_gate", gate)
        answers += [http.read_response() for http in connections]
    finally:
        for http in connections:
            http.close()


def wait_for_loops(server: Server, gate: str, count: int) -> None:
    """Wait until so many loops wait at a gate."""
    server.journal.wait_until(
        lambda entries: sum(entry.handler == gate for entry in entries) == count,
        f"{count} loops at {gate}",
    )


def get(server: Server, view: str) -> Response:
    """Ask for a view that does not wait."""
    with Http(server.address) as http:
        return http.get(f"/asyncio/{view}/")


def statuses(answers: Sequence[Response]) -> list[int]:
    """Return the status of each answer."""
    return [answer.status for answer in answers]


class TestAViewWithALoop:
    @pytest.mark.parametrize(
        "view", ["awaiting", "streaming", "by_async_to_sync", "by_asyncio_run"]
    )
    def test_answers_as_under_runserver(self, server: Server, view: str) -> None:
        users = get(server, "synchronous").text
        answer = get(server, view)
        assert answer.status == 200
        assert answer.text.removeprefix("users: ") == users

    def test_is_woken_by_its_thread(self, server: Server, gate: str) -> None:
        with under_way(server, gate, ["in_thread"]) as answers:
            pass
        assert statuses(answers) == [200]

    @pytest.mark.parametrize("view", LOOPS)
    def test_runs_three_times_at_once(self, server: Server, gate: str, view: str) -> None:
        with under_way(server, gate, [view] * 3) as answers:
            pass
        assert statuses(answers) == [200] * 3

    def test_runs_beside_those_of_all_kinds(self, server: Server, gate: str) -> None:
        with under_way(server, gate, [*LOOPS, "blocking"]) as answers:
            assert statuses([get(server, view) for view in ("awaiting", "streaming")]) == [200] * 2
        assert statuses(answers) == [200] * 6


class TestItsNeighbours:
    """Other requests and events, while the loop runs; also where it is blocked by mistake."""

    @pytest.mark.parametrize("view", [*LOOPS, "blocking"])
    def test_a_view_uses_the_database(self, server: Server, gate: str, view: str) -> None:
        with under_way(server, gate, [view]) as answers:
            assert get(server, "synchronous").status == 200
        assert statuses(answers) == [200]

    @pytest.mark.parametrize("view", [*LOOPS, "blocking"])
    def test_a_handler_uses_the_database(
        self, server: Server, connect: Connect, gate: str, view: str
    ) -> None:
        client = connect(to=server)
        with under_way(server, gate, [view]) as answers:
            (users,) = client.answer_to(client.ask_later("message", {"do": "count users"}))
            assert isinstance(users, int)
        assert statuses(answers) == [200]

    def test_a_view_that_does_not_await_the_database_fails_alone(
        self, server: Server, gate: str
    ) -> None:
        with under_way(server, gate, LOOPS) as answers:
            assert get(server, "mistaken").text == "refused"
            assert get(server, "synchronous").status == 200
        assert statuses(answers) == [200] * 5


class TestAHandlerWithALoop:
    def test_runs_beside_others_and_views(
        self, server: Server, connect: Connect, gate: str
    ) -> None:
        users = int(get(server, "synchronous").text)
        clients = [connect(to=server) for _ in range(3)]
        message = {"do": "count users in a loop", "gate": gate}
        asked = [client.ask_later("message", message) for client in clients]
        wait_for_loops(server, gate, 3)
        assert statuses([get(server, view) for view in ("synchronous", *AT_ONCE)]) == [200] * 5
        outside(server, "open_gate", gate)
        assert answers_to(clients, asked) == [[users]] * 3


class TestTheEnd:
    def test_comes_in_order_although_loops_have_run(
        self, start_server: StartServer, database: dict[str, str]
    ) -> None:
        server = start_server(environment=database)
        assert statuses([get(server, v) for v in ("awaiting", "by_asyncio_run")]) == [200] * 2
        assert server.stop() == 0
