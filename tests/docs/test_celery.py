"""The page on Celery, with a stand-in for it: each task is a process without a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.conftest import RunScript
from tests.docs.pages import page
from tests.docs.project import Project
from tests.support.redis import RedisServer
from tests.support.server import Server

CELERY = page("docs/how-to/celery.md")
REDIS = "redis://localhost:6379/0"
STAND_IN = '''
import subprocess
import sys


class Celery:
    """Takes what an application of Celery's is told."""

    def __init__(self, name):
        pass

    def config_from_object(self, name, *, namespace):
        pass

    def autodiscover_tasks(self, packages):
        pass


def shared_task(*, autoretry_for, retry_backoff, max_retries):
    """Let a function's ``delay`` run it in another process."""

    def decorate(function):
        def delay(*args):
            code = f"from mysite import tasks; tasks.{function.__name__}(*{args!r})"
            subprocess.Popen([sys.executable, "manage.py", "shell", "-c", code])

        function.delay = delay
        return function

    return decorate
'''


@pytest.fixture
def server(tutorial: Project, tmp_path: Path, own_redis: RedisServer) -> Iterator[Server]:
    project = tutorial.copy(tmp_path / "project")
    project.follow(CELERY)
    project.replace("mysite/settings.py", REDIS, own_redis.url)
    (project.folder / "celery.py").write_text(STAND_IN)
    assert "no issues" in project.manage("check")
    server = project.serve()
    yield server
    server.kill()


def test_a_task_tells_a_page_how_far_it_is(server: Server, run_script: RunScript) -> None:
    (script,) = CELERY.of("js")
    logged = run_script(server, script.text)
    logged.wait_for_all(["We are at it.", "March: 0%", "March: 50%", "March has 3 pages."])
