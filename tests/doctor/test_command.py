"""The command ``socketio_doctor``: what it prints, and how it ends."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from tests.support.server import Server
from tests.support.tools import free_port


def run(url: str, *arguments: str, secret: str = "for tests") -> tuple[int, str]:
    """Run the command; return its exit status and what it prints."""
    output = StringIO()
    with override_settings(SECRET_KEY=secret):
        try:
            call_command(
                "socketio_doctor", url, "--idle=0.2", "--no-color", *arguments, stdout=output
            )
        except SystemExit as end:
            return int(end.code or 0), output.getvalue()
    return 0, output.getvalue()


WAITS = "silence: waits for 0.2 s, in which a proxy may cut connections\n"


class TestASiteThatIsRight:
    def test_takes_one_line_and_status_0_besides_what_is_waited_for(self, server: Server) -> None:
        assert run(server.url) == (0, f"{WAITS}Nothing wrong was found.\n")

    def test_has_nothing_but_json_if_that_is_asked_for(self, server: Server) -> None:
        assert json.loads(run(server.url, "--json")[1])["right"] is True

    def test_takes_a_line_for_each_step_if_more_is_asked_for(self, server: Server) -> None:
        status, output = run(server.url, "-v2")
        assert status == 0
        assert output.startswith("handshake: right\nhealth: right\n")

    def test_is_found_too_by_the_whole_url_of_its_socketio(self, server: Server) -> None:
        assert run(f"{server.url}socket.io")[0] == 0


class TestASiteThatIsNot:
    def test_takes_a_line_for_what_is_wrong_and_status_1(self) -> None:
        status, output = run(f"http://127.0.0.1:{free_port()}")
        assert status == 1
        assert output.startswith("handshake: The connection fails: ")

    def test_has_the_lines_of_nginx_below_what_is_wrong(self, server: Server) -> None:
        status, output = run(f"{server.url}nothing/")
        assert status == 1
        assert output.startswith("handshake: What answers is no Socket.IO server: status 404")

    def test_is_told_as_json_as_well(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        status, output = run(url, "--json")
        told = json.loads(output)
        assert status == 1
        assert (told["url"], told["right"]) == (url, False)
        (finding,) = told["findings"]
        assert (finding["step"], finding["state"], finding["nginx"]) == ("handshake", "wrong", [])


class TestAServerThatTellsNothingOfItsHealth:
    def test_is_examined_as_far_as_can_be(self, server: Server) -> None:
        status, output = run(server.url, secret="another")
        assert status == 0
        first, *others, last = output.splitlines()
        assert first.startswith("health: not examined. The server tells of its health only with ")
        assert "workers: the same as health" in others
        assert last == "Nothing wrong was found."


class TestAUrl:
    @pytest.mark.parametrize(
        "url", ["www.example.com", "ftp://example.com", "https://", "http://a b"]
    )
    def test_that_is_none_of_http_is_refused(self, url: str) -> None:
        with pytest.raises(CommandError, match=r"must be as https://www\.example\.com"):
            run(url)
