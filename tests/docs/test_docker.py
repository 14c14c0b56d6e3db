"""The page on Docker: its commands are run here, without a container around them."""

import fnmatch
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from gunicorn.config import Config

from tests.docs.pages import page
from tests.docs.project import Project, wait_for_all_workers
from tests.docs.test_snippets import check_command
from tests.support.http import Http
from tests.support.redis import RedisServer
from tests.support.tools import wait_until

DOCKER = page("docs/how-to/docker.md")
ADDRESS = "0.0.0.0:9000"


def instructions(name: str) -> Iterator[list[str]]:
    """Yield the words of each instruction of this name in the Dockerfile."""
    (block,) = DOCKER.of("dockerfile")
    for line in block.text.splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == name:
            yield json.loads(rest) if rest.startswith("[") else shlex.split(rest)


def command() -> list[str]:
    """Return the arguments of the image's command, gunicorn, on a port of this machine."""
    ((program, *arguments),) = instructions("CMD")
    assert program == "gunicorn"
    assert ADDRESS in arguments
    return [each.replace(ADDRESS, "127.0.0.1:0") for each in arguments]


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
    server = project.serve_by_gunicorn(*command())
    try:
        with Http(server.address) as http:
            assert http.get("/").status == 200
        wait_for_all_workers(server, command())
    finally:
        assert server.stop() == 0


def test_the_ports_agree() -> None:
    ((port,),) = instructions("EXPOSE")
    assert ADDRESS.endswith(f":{port}")
    assert f"--publish {port}:{port}" in "".join(block.text for block in DOCKER.of("sh"))


def test_its_image_has_neither_secrets_nor_the_database() -> None:
    ((block,), (example,)) = DOCKER.of("dockerignore"), DOCKER.of("yaml")
    secrets = yaml.safe_load(example.text)["services"]["site"]["env_file"]
    for name in (secrets, "db.sqlite3"):
        assert any(fnmatch.fnmatch(name, pattern) for pattern in block.text.split()), name


class TestCompose:
    @pytest.fixture
    def compose(self) -> dict[str, Any]:
        (block,) = DOCKER.of("yaml")
        found: dict[str, Any] = yaml.safe_load(block.text)
        return found

    @pytest.fixture
    def services(self, compose: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = compose["services"]
        return found

    def test_its_services_depend_on_others_that_say_when_they_are_ready(
        self, services: dict[str, Any]
    ) -> None:
        known = {"build", "command", "depends_on", "env_file", "environment", "healthcheck"}
        known |= {"image", "ports", "restart", "stop_grace_period", "ulimits"}
        for service in services.values():
            assert service.keys() <= known
            for name, needed in service.get("depends_on", {}).items():
                assert needed == {"condition": "service_healthy"}
                assert services[name]["healthcheck"]["test"][0] == "CMD"

    def test_its_site_is_reached_and_stops_as_the_image_needs(
        self, services: dict[str, Any]
    ) -> None:
        ((port,),) = instructions("EXPOSE")
        assert services["site"]["ports"] == [f"127.0.0.1:{port}:{port}"]
        grace = services["site"]["stop_grace_period"].removesuffix("s")
        assert int(grace) > Config().graceful_timeout

    def test_its_network_is_the_one_that_the_settings_trust(self, compose: dict[str, Any]) -> None:
        (network,) = compose["networks"]["default"]["ipam"]["config"]
        (settings,) = DOCKER.of("python")
        assert f'SOCKETIO_TRUSTED_PROXIES = ["{network["subnet"]}"]' in settings.text

    def test_its_redis_is_what_all_workers_of_the_site_use(
        self, services: dict[str, Any], project: Project, own_redis: RedisServer
    ) -> None:
        """The image's command runs here, with a Redis on another port."""
        assert services["redis"]["command"][0] == "redis-server"
        assert services["site"]["environment"] == {"REDIS_URL": "redis://redis:6379/0"}
        project.follow(DOCKER)
        project.manage("collectstatic", "--noinput")
        server = project.serve_by_gunicorn(*command(), environment={"REDIS_URL": own_redis.url})
        try:
            (workers,) = re.findall(r"-w (\d+)", " ".join(command()))
            wait_until(lambda: own_redis.servers() == int(workers), "all workers to use it")
        finally:
            server.kill()
