"""Projects made by following the pages, and their servers."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.docs.browser import chromium
from tests.docs.pages import page
from tests.docs.project import Project
from tests.docs.scripts import RunningScript
from tests.support.client import Client
from tests.support.server import ROOT, Server
from tests.support.wire import TransportName, open_carrier

Connect = Callable[..., Client]
RunScript = Callable[[Server, str], RunningScript]


class Serve:
    """Follows pages in copies of the tutorial's project, and serves these."""

    def __init__(self, tutorial: Project, folders: pytest.TempPathFactory) -> None:
        self._tutorial = tutorial
        self._folders = folders
        self._projects: dict[str, Project] = {}
        self._servers: dict[str, Server] = {}

    def project(self, name: str) -> Project:
        """Return the project that a page makes."""
        if name not in self._projects:
            project = self._tutorial.copy(self._folders.mktemp("page") / "project")
            project.follow(page(name))
            self._projects[name] = project
        return self._projects[name]

    def __call__(self, name: str) -> Server:
        """Return the server of a page's project."""
        if name not in self._servers:
            self._servers[name] = self.project(name).serve()
        return self._servers[name]

    def stop(self) -> None:
        """End all servers."""
        for server in self._servers.values():
            server.kill()


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project that the tutorial makes."""
    library = tmp_path_factory.mktemp("library")
    (library / "socketio_server").symlink_to(ROOT / "socketio_server")
    project = Project(tmp_path_factory.mktemp("tutorial"), library)
    project.django_admin("startproject", "mysite", ".")
    project.follow(page("docs/tutorial.md"))
    project.manage("migrate", "--verbosity=0")
    return project


@pytest.fixture(scope="session")
def serve(tutorial: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Follow a page in the tutorial's project, and serve that; a page is followed once."""
    serve = Serve(tutorial, tmp_path_factory)
    yield serve
    serve.stop()


@pytest.fixture
def serve_anew(tutorial: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """The same, with nobody else at these servers."""
    serve = Serve(tutorial, tmp_path_factory)
    yield serve
    serve.stop()


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Run Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connect clients to a server, which are closed when the test ends."""
    clients: list[Client] = []

    def connect(
        server: Server,
        *,
        auth: object = None,
        transport: TransportName = "websocket",
        headers: dict[str, str] | None = None,
        join: bool = True,
    ) -> Client:
        client = Client(open_carrier(transport, server.address, headers=headers))
        clients.append(client)
        return client.connect(auth) if join else client

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def run_script() -> Iterator[RunScript]:
    """Run scripts as if they stood in a page of a server's; they end when the test ends."""
    running: list[RunningScript] = []

    def run_script(server: Server, script: str) -> RunningScript:
        script_run = RunningScript(server, script)
        running.append(script_run)
        return script_run

    yield run_script
    for script_run in running:
        script_run.stop()
