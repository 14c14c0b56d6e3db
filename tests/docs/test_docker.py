"""The page on Docker: its commands are run here, without a container around them."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import page
from tests.docs.project import Project
from tests.docs.test_snippets import check_command
from tests.support.http import Http

DOCKER = page("docs/how-to/docker.md")
ADDRESS = "0.0.0.0:9000"


def instructions(name: str) -> Iterator[list[str]]:
    """Yield the words of each instruction of this name in the Dockerfile."""
    (block,) = DOCKER.of("dockerfile")
    for line in block.text.splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == name:
            yield json.loads(rest) if rest.startswith("[") else shlex.split(rest)


@pytest.fixture
def project(tutorial: Project, tmp_path: Path) -> Project:
    """A project that serves its static files."""
    project = tutorial.copy(tmp_path / "project")
    project.follow(page("docs/how-to/static-files.md"))
    return project


def test_its_image_is_built_by_commands_that_exist(project: Project) -> None:
    for words in instructions("RUN"):
        check_command(words)
        if "manage.py" in words:
            assert project.manage(*words[words.index("manage.py") + 1 :])


def test_its_command_serves_the_site_and_ends_by_a_signal(project: Project) -> None:
    project.manage("collectstatic", "--noinput")
    ((program, *arguments),) = instructions("CMD")
    assert program == "gunicorn"
    assert ADDRESS in arguments
    server = project.serve_by_gunicorn(
        *(each.replace(ADDRESS, "127.0.0.1:0") for each in arguments)
    )
    try:
        with Http(server.address) as http:
            assert http.get("/").status == 200
    finally:
        assert server.stop() == 0


def test_the_ports_agree() -> None:
    ((port,),) = instructions("EXPOSE")
    assert ADDRESS.endswith(f":{port}")
    assert f"--publish {port}:{port}" in "".join(block.text for block in DOCKER.of("sh"))
