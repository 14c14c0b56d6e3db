"""Every fenced block of every page: whatever it is, it is well-formed, and what it names exists.

What the code does is for ``test_tutorial``, ``test_how_to_...``, ``test_reference`` and
``test_testing``.
"""

import re
import shlex
from collections.abc import Iterator
from configparser import ConfigParser
from itertools import dropwhile

import pytest
from django.core.management import get_commands, load_command_class
from django.http import HttpRequest
from django.template import Context, Template
from gunicorn.config import Config

from socketio_server.options import Options
from socketio_server.serving.server import STOP_OVERHEAD
from tests.docs import (
    test_how_to_messages,
    test_how_to_sites,
    test_how_to_users,
    test_reference,
)
from tests.docs.conftest import Serve
from tests.docs.embedded import PACKAGE
from tests.docs.pages import EXAMPLES, Block, Page, blocks, page, pages
from tests.docs.scripts import parse, scripts_in
from tests.support.server import ROOT

TESTS_OF_PAGES = (test_how_to_messages, test_how_to_users, test_how_to_sites, test_reference)

LANGUAGES = {
    "python",
    "diff",
    "html",
    "js",
    "sh",
    "text",
    "nginx",
    "haproxy",
    "ini",
    "yaml",
    "mermaid",
}
LANGUAGES |= {"dockerfile", "dockerignore"}
OUTPUT = {"banner", "page", "log", "client", "wire"}
"""What blocks of output show; the tests of their pages compare them."""

MEASURED = {"docs/performance.md", "docs/capacity.md"}
"""Pages with output that no test can compare."""

FOLLOWED = [
    "docs/deployment.md",
    "docs/how-to/gunicorn.md",
    "docs/how-to/databases.md",
    "docs/how-to/docker.md",
    "docs/how-to/several-processes.md",
    "docs/reference/checks.md",
    "docs/reference/settings.md",
]
"""Pages whose projects no other test serves."""

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"^([A-Z_]+) \?=", MAKEFILE, re.MULTILINE))

UNCHECKED = {"cd", "celery", "curl", "docker", "git", "grep", "mkdir", "node", "npm", "pre-commit"}
UNCHECKED |= {"systemctl"}
"""Other people's programs, which do not depend on anything here."""

OTHER_APPS = {"createsuperuser"}
"""Management commands of apps that the demo does without."""


def readers(language: str) -> list[Block]:
    """Return the blocks in a language that are the reader's, not the package's own code."""
    return [block for block in blocks(language) if not (block.path or "").startswith(PACKAGE)]


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the words of a block's commands."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def own_commands() -> set[str]:
    """Return the management commands that pages make."""
    paths = [block.path or "" for block in blocks("python")]
    return {path.split("/")[-1][:-3] for path in paths if "/management/commands/" in path}


def check_manage(arguments: list[str]) -> None:
    """Fail unless a management command exists and takes these arguments."""
    name, *rest = arguments
    if name not in own_commands() | OTHER_APPS:
        command = load_command_class(get_commands()[name], name)
        command.create_parser("manage.py", name).parse_args(rest)


def check_make(arguments: list[str]) -> None:
    """Fail unless the Makefile has these targets and variables."""
    for argument in arguments:
        variable, is_assignment, _ = argument.partition("=")
        assert variable in VARIABLES if is_assignment else argument in TARGETS, argument


def check_command(words: list[str]) -> None:
    """Fail unless a command is one that does what the page says, as far as that can be told."""
    program, *arguments = dropwhile(re.compile(r"[A-Z]+=").match, words)
    program = program.removeprefix(".venv/bin/")
    if program in ("python", "python3") and "manage.py" in arguments:
        check_manage(arguments[arguments.index("manage.py") + 1 :])
    elif program == "python" and arguments[0] == "client.py":
        assert list(EXAMPLES.glob("*/client.py")), words
    elif program in ("python", "python3"):
        assert arguments[0] == "-m", words
        assert arguments[1] in ("coverage", "pip", "pstats", "tests.scale", "venv"), words
    elif program == "make":
        check_make(arguments)
    elif program == "gunicorn":
        Config().parser().parse_args(arguments)
    elif program == "django-admin":
        assert arguments[0] in get_commands()
    elif program == "pytest":
        assert (ROOT / arguments[0]).exists(), arguments[0]
    elif program == ".":
        assert arguments == [".venv/bin/activate"]
    else:
        assert program in UNCHECKED, words


class TestEveryBlock:
    @pytest.mark.parametrize("found", pages(), ids=str)
    def test_says_what_it_is(self, found: Page) -> None:
        for block in found.blocks:
            assert block.language in LANGUAGES, block
            if block.language == "text" and block.page not in MEASURED:
                assert block.path in OUTPUT, block

    @pytest.mark.parametrize("found", pages(), ids=str)
    def test_belongs_to_a_file_that_the_text_above_it_names(self, found: Page) -> None:
        """What stands behind an opening fence is not shown."""
        lines = found.path.read_text(encoding="utf-8").splitlines()
        if "docs/reference" not in found.name:  # has examples, not steps
            for block in found.blocks:
                if block.path is not None and "." in block.path and block.name is None:
                    assert f"`{block.path}`" in "\n".join(lines[: block.line]), block

    @pytest.mark.parametrize("found", pages(), ids=str)
    def test_is_closed_and_not_indented(self, found: Page) -> None:
        assert not [line for line in found.prose if "```" in line]


class TestPython:
    @pytest.mark.parametrize("block", readers("python"), ids=str)
    def test_is_a_part_of_a_file(self, block: Block) -> None:
        assert block.path is not None
        assert block.path.endswith(".py")
        compile(block.text, block.path, "exec")

    def test_makes_projects_that_some_test_serves_or_checks(self) -> None:
        served = {
            test.PAGE
            for module in TESTS_OF_PAGES
            for test in vars(module).values()
            if isinstance(getattr(test, "PAGE", None), str)
        }
        # These have test modules of their own.
        own = {
            "README.md",
            "docs/how-to/celery.md",
            "docs/how-to/debug.md",
            "docs/how-to/node.md",
            "docs/testing.md",
            "docs/the-way-of-a-message.md",
            "docs/tutorial.md",
        }
        assert {block.page for block in blocks("python")} <= served.union(FOLLOWED, own)

    @pytest.mark.parametrize("name", FOLLOWED)
    def test_makes_projects_without_problems(self, serve: Serve, name: str) -> None:
        assert "System check identified no issues" in serve.project(name).manage("check")


class TestDjangoTemplates:
    @pytest.mark.parametrize("block", blocks("html"), ids=str)
    def test_are_rendered_with_the_scripts(self, block: Block) -> None:
        html = Template(block.text).render(Context({"request": HttpRequest()}))
        assert "/socket.io.min.js" in html
        assert "/django-socketio.js" in html

    @pytest.mark.parametrize("block", blocks("html"), ids=str)
    def test_have_scripts_that_are_well_formed(self, block: Block) -> None:
        assert parse(scripts_in(block.text)) == ""


class TestJavaScript:
    @pytest.mark.parametrize("block", readers("js"), ids=str)
    def test_is_well_formed(self, block: Block) -> None:
        assert parse(block.text) == ""


class TestDiagrams:
    @pytest.mark.parametrize("block", blocks("mermaid"), ids=str)
    def test_are_of_a_known_kind(self, block: Block) -> None:
        assert block.text.split()[0] in ("flowchart", "sequenceDiagram")

    @pytest.mark.parametrize("block", blocks("mermaid"), ids=str)
    def test_name_files_that_exist(self, block: Block) -> None:
        for name in re.findall(r"[\w/]+/\w+\.py", block.text):
            assert (ROOT / "socketio_server" / name).exists(), name


class TestShell:
    @pytest.mark.parametrize("block", blocks("sh"), ids=str)
    def test_has_commands_that_exist(self, block: Block) -> None:
        for words in commands(block):
            check_command(words)


class TestDeployment:
    def test_nginx_lets_websockets_through_and_waits_long_enough(self) -> None:
        (block,) = page("docs/deployment.md").of("nginx")
        assert block.text.count("{") == block.text.count("}")
        values = dict(re.findall(r"^ +(\w+(?: [A-Z][\w-]+)?) +([^;]+);$", block.text, re.MULTILINE))
        assert values["proxy_http_version"] == "1.1"
        assert values["proxy_set_header Upgrade"] == "$http_upgrade"
        assert values["proxy_set_header Connection"] == "$connection_upgrade"
        assert values["proxy_set_header Host"] == "$http_host"
        assert int(values["proxy_read_timeout"][:-1]) > Options().ping_interval
        assert int(values["keepalive_timeout"][:-1]) < Options().keep_alive_timeout
        assert int(values["client_max_body_size"][:-1]) * 2**20 >= Options().max_payload

    def test_systemd_starts_the_command_and_waits_for_its_end(self) -> None:
        (block,) = blocks("ini")
        unit = ConfigParser(interpolation=None, strict=False)  # with two ExecReload
        unit.optionxform = str  # type: ignore[assignment, method-assign]
        unit.read_string(block.text)
        service = unit["Service"]
        program, *arguments = service["ExecStart"].split()
        check_command([program.rpartition("/")[2], *arguments])
        assert int(service["TimeoutStopSec"]) > Config().graceful_timeout

    def test_systemd_starts_one_process_and_waits_for_its_end(self) -> None:
        prose = "\n".join(page("docs/deployment.md").prose)
        (words,) = re.findall(r"`ExecStart=(\S+/python manage\.py [^`]+)`", prose)
        python, *arguments = words.split()
        check_command([python.rpartition("/")[2], *arguments])
        (seconds,) = re.findall(r"`TimeoutStopSec=(\d+)`", prose)
        assert int(seconds) > Options().drain_timeout + STOP_OVERHEAD
