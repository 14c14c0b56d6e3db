"""The page on Node.js: its server, the one here and its script, with the official packages."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.conftest import Connect
from tests.docs.pages import page
from tests.docs.project import Project
from tests.support.client import Client
from tests.support.redis import RedisServer
from tests.support.server import ROOT, Server
from tests.support.tools import PATIENCE, require, wait_until
from tests.support.wire import open_carrier

NODE = page("docs/how-to/node.md")
REDIS = "redis://localhost:6379/0"


class Cluster(NamedTuple):
    """Two servers, with a client of each."""

    project: Project
    server: Server
    ours: Client
    nodes: Client


@pytest.fixture
def project(tutorial: Project, tmp_path: Path, own_redis: RedisServer) -> Project:
    """The page's project, with a Redis of its own."""
    project = tutorial.copy(tmp_path / "project")
    project.follow(NODE)
    for path in ("mysite/settings.py", "server.mjs", "emit.mjs"):
        project.replace(path, REDIS, own_redis.url)
    project.replace("server.mjs", "io.listen(3000);\n", "io.listen(0);\n")
    (project.folder / "node_modules").symlink_to(ROOT / "node_modules")
    return project


@pytest.fixture
def cluster(project: Project, connect: Connect) -> Iterator[Cluster]:
    """Both servers, when they hear each other."""
    require("node")
    require("socket.io (npm ci)", found=(ROOT / "node_modules" / "socket.io").exists())
    server = project.serve()
    node = subprocess.Popen(
        ["node", "server.mjs"], cwd=project.folder, stdout=subprocess.PIPE, text=True
    )
    try:
        assert node.stdout is not None
        port = int(node.stdout.readline().removeprefix("Listening on "))
        nodes = Client(open_carrier("websocket", ("127.0.0.1", port))).connect()
        ours = connect(server)
        wait_until(lambda: len(ours.call("change theme", "none")) == 2, "Node's server")
        yield Cluster(project, server, ours, nodes)
        nodes.close()
    finally:
        node.kill()
        node.communicate(timeout=PATIENCE)
        server.kill()


def test_messages_of_all_reach_the_clients_of_both(cluster: Cluster) -> None:
    project, _, ours, nodes = cluster
    assert ours.subscribe("reports") is True
    assert nodes.ask("join", "reports") == [True]
    assert ours.call("count readers") == 2
    for sending, name in ((ours, "Django"), (nodes, "Node")):
        sending.emit("publish", "Done")
        for client in (ours, nodes):
            assert client.next_event() == ["report", f"Done, says {name}"]
    subprocess.run(["node", "emit.mjs"], cwd=project.folder, check=True, timeout=PATIENCE)
    for client in (ours, nodes):
        assert client.next_event() == ["report", "The script is done"]


def test_servers_of_both_answer_each_other(cluster: Cluster) -> None:
    assert cluster.ours.call("change theme", "dark") == [False, True]


def test_reserved_names_are_refused_by_both(cluster: Cluster) -> None:
    for name in ("~user:auth.user:1", cluster.ours.id, cluster.nodes.id):
        assert cluster.nodes.ask("join", name) == [False]
        assert "error" in cluster.ours.subscribe(name)
