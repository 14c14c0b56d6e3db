"""The page that follows a message: its code is the package's, its packets are on the wire."""

import textwrap
from collections.abc import Iterator

import pytest

from tests.docs.conftest import Connect, RunScript
from tests.docs.embedded import embedded, quoted, source_of
from tests.docs.pages import Block, page, pages
from tests.docs.project import EVENTS, Project
from tests.support.server import Server
from tests.support.wire import TransportName

PAGE = page("docs/the-way-of-a-message.md")
TUTORIAL = page("docs/tutorial.md")
MESSAGE = {"action": "message", "message": "Hello!"}


@pytest.fixture(scope="module")
def server(tutorial: Project) -> Iterator[Server]:
    """The tutorial's chat."""
    server = tutorial.serve()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def watched(tutorial: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same, with all that the page switches on to watch it."""
    project = tutorial.copy(tmp_path_factory.mktemp("watched") / "project")
    (events,) = (block for block in TUTORIAL.of("python") if block.path == EVENTS)
    project.apply(events)
    project.follow(PAGE)
    server = project.serve()
    yield server
    server.kill()


class TestItsCode:
    @pytest.mark.parametrize("block", [b for each in pages() for b in embedded(each)], ids=str)
    def test_is_that_of_the_package(self, block: Block) -> None:
        remedy = "run `make format`, and read the page around it"
        assert block.text == source_of(block), remedy

    @pytest.mark.parametrize("block", [b for each in pages() for b in quoted(each)], ids=str)
    def test_is_that_of_the_tutorial(self, block: Block) -> None:
        assert block.name is not None
        whole = "".join(each.text for each in page(block.name).blocks if each.path == block.path)
        indented = (textwrap.indent(block.text, " " * n) for n in (0, 2, 4, 6))
        assert any(text in whole for text in indented)


class TestItsPackets:
    @pytest.mark.parametrize(
        ("way_in", "way_out"), [("websocket", "polling"), ("polling", "websocket")]
    )
    def test_are_on_the_wire(
        self, server: Server, connect: Connect, way_in: TransportName, way_out: TransportName
    ) -> None:
        sent, received = [block.text.strip() for block in PAGE.of("text")]
        sender, receiver = connect(server, transport=way_in), connect(server, transport=way_out)
        for client in (sender, receiver):
            client.subscribe("room-1")
        sender.carrier.send(sent)
        sender.wait_until(lambda: received[1:] in sender.packets)
        receiver.wait_until(lambda: received[1:] in receiver.packets)


class TestWatching:
    def test_shows_every_event_and_every_request(self, watched: Server, connect: Connect) -> None:
        client = connect(watched, transport="polling")
        client.subscribe("room-1")
        client.send(MESSAGE)
        watched.wait_for_output(rf"{client.id} on_connect -> None")
        watched.wait_for_output(rf"{client.id} on_subscribe room-1 -> None")
        watched.wait_for_output(rf"{client.id} on_message {{'action': 'message', .*}} -> None")
        watched.wait_for_output(r'"POST /socket.io/\?EIO=4&transport=polling')

    def test_in_the_console_shows_packets(self, server: Server, run_script: RunScript) -> None:
        script = "const socket = io();\n" + "".join(
            block.text for block in PAGE.of("js") if block.path is None
        )
        run_script(server, script + 'socket.subscribe("room-1");').wait_for(
            [
                "undefined false xhr-polling",
                "out __subscribe__ room-1",
                "in message { action: 'system-info', message: 'You are connected.' }",
            ]
        )
