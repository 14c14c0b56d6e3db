"""The real server in tests of a project, which are run here as its people run them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from socketio_server.testing import SocketIOLiveServerTestCase
from tests.support.project import make_project
from tests.support.server import Configuration

pytestmark = pytest.mark.timeout(150)  # each test runs tests, which start servers

LONG = 120.0
"""Seconds that a project's tests may take; on an idle machine they take three."""

SETTINGS = """
DATABASES["default"]["TEST"] = {"NAME": FOLDER / "test.sqlite3", "MIGRATE": False}
SOCKETIO_EVENTS = ["site_events"]
SOCKETIO_PUBLIC_URL = "https://live.example.com"
ROOT_URLCONF = "site_urls"
"""

EVENTS = """
from django.conf import settings
from django.contrib.auth.models import Group

from socketio_server import events


@events.on("groups")
def groups(request, socket, context):
    return [group.name for group in Group.objects.all()]


@events.on("add")
def add(request, socket, context, name):
    print("adding", name)
    return Group.objects.create(name=name).name


@events.on("setting")
def setting(request, socket, context, name):
    return repr(getattr(settings, name))
"""

URLS = """
from django.urls import include, path

urlpatterns = [path("", include("socketio_server.urls"))]
"""

HELPERS = """
from urllib.parse import urlsplit
from urllib.request import urlopen

from tests.support.client import Client
from tests.support.wire import open_carrier


def client_of(url):
    parts = urlsplit(url)
    return Client(open_carrier("websocket", (parts.hostname, parts.port))).connect()
"""

UNITTESTS = """
from urllib.request import urlopen

from django.contrib.auth.models import Group

from helpers import client_of
from socketio_server.testing import SocketIOLiveServerTestCase


class LiveTests(SocketIOLiveServerTestCase):
    server_settings = {"SOCKETIO_MAX_CHANNELS": 7}

    def setUp(self):
        self.live = client_of(self.live_server_url)
        self.addCleanup(self.live.close)

    def test_both_processes_share_the_database(self):
        Group.objects.create(name="by the test")
        assert self.live.call("groups") == ["by the test"]
        self.live.call("add", "by a handler")
        assert Group.objects.filter(name="by a handler").exists()

    def test_each_test_begins_with_an_empty_database(self):
        assert self.live.call("groups") == []
        self.live.call("add", "another")

    def test_the_server_has_the_settings_of_the_class(self):
        assert self.live.call("setting", "SOCKETIO_MAX_CHANNELS") == "7"

    def test_its_pages_connect_to_itself(self):
        assert self.live.call("setting", "SOCKETIO_PUBLIC_URL") == "None"

    def test_static_files_are_served(self):
        url = f"{self.live_server_url}/static/socketio_server/django-socketio.js"
        with urlopen(url, timeout=20) as response:
            assert b"subscribe" in response.read()
"""

PYTESTS = """
import signal

import pytest
from django.contrib.auth.models import Group

from helpers import client_of


@pytest.mark.parametrize("name", ["ann", "bob"])
def test_both_processes_share_the_database(socketio_live_server, name):
    client = client_of(socketio_live_server.url)
    assert client.call("groups") == []
    client.call("add", name)
    assert Group.objects.get().name == name
    assert str(socketio_live_server) == socketio_live_server.url
    client.close()


def test_control_c_is_for_the_tests(socketio_live_server):
    socketio_live_server._process.send_signal(signal.SIGINT)
    client = client_of(socketio_live_server.url)
    assert client.call("groups") == []
    client.close()
"""


def run(folder: Path, *arguments: str, settings: str = SETTINGS) -> tuple[int, str]:
    """Run a project's tests; return exit status and output."""
    files = {
        "site_events.py": EVENTS,
        "site_urls.py": URLS,
        "helpers.py": HELPERS,
        "test_by_unittest.py": UNITTESTS,
        "test_by_pytest.py": PYTESTS,
    }
    make_project(folder, files, settings=settings)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=Configuration(folder).variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LONG,
    )
    return done.returncode, done.stdout


class TestTheTestCase:
    def test_runs_the_server_on_the_database_of_the_tests(self, tmp_path: Path) -> None:
        status, output = run(tmp_path, "manage.py", "test", "test_by_unittest")
        assert status == 0, output
        assert "Ran 5 tests" in output

    def test_names_the_setting_where_the_database_is_in_memory(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from django.db import connection

        class Tests(SocketIOLiveServerTestCase):
            pass

        monkeypatch.setitem(connection.settings_dict, "NAME", ":memory:")
        with pytest.raises(ImproperlyConfigured, match=r'DATABASES\[\'default\'\]\["TEST"\] = '):
            Tests.setUpClass()
        Tests.doClassCleanups()

    def test_tells_of_a_server_that_does_not_start(self, tmp_path: Path) -> None:
        broken = SETTINGS + "ROOT_URLCONF = 'nowhere'\n"
        status, output = run(tmp_path, "manage.py", "test", "test_by_unittest", settings=broken)
        assert status == 1
        assert "No module named 'nowhere'" in output


class TestTheFixture:
    @pytest.fixture
    def transactional_db(self) -> None:
        """Needs no database, because no server is started."""

    @pytest.fixture
    def _socketio_live_servers(self) -> Callable[[frozenset[str]], object]:
        return lambda databases: databases

    def test_gives_one_server_to_all_tests_beside_test_cases_with_their_own(
        self, tmp_path: Path
    ) -> None:
        status, output = run(
            tmp_path,
            *("-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", "--rootdir=."),
            *("--ds=site_settings", "test_by_pytest.py", "test_by_unittest.py"),
        )
        assert status == 0, output
        assert "8 passed" in output

    def test_serves_the_databases_that_the_test_names(self, request: pytest.FixtureRequest) -> None:
        request.node.add_marker(pytest.mark.django_db(databases=["default", "other"]))
        server = request.getfixturevalue("socketio_live_server")
        assert server == {"default", "other"}
