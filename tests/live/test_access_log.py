"""The access log: a line for each request as ``runserver`` writes it."""

import pytest

from tests.support.http import Http
from tests.support.server import Server
from tests.support.types import Connect, StartServer
from tests.support.websocket import handshake_headers
from tests.support.wire import Polling, target


def logging_at(level: str) -> dict[str, object]:
    """Return settings that show the log from a level on."""
    console = {"handlers": ["console"], "level": level}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"django.server": {**console, "propagate": False}},
        "root": console,
    }


@pytest.fixture
def talkative(share_server: StartServer) -> Server:
    """A server that logs everything."""
    return share_server(settings={"LOGGING": logging_at("DEBUG")})


@pytest.fixture
def quiet(share_server: StartServer) -> Server:
    """A server that logs warnings."""
    return share_server(settings={"LOGGING": logging_at("WARNING")})


class TestTheSid:
    def test_is_never_logged(self, talkative: Server, connect: Connect) -> None:
        client = connect("upgraded", to=talkative)
        client.call("message", {"do": "nothing"})
        client.do_without_answer("raise", text="something that is logged")
        talkative.wait_for_output("something that is logged")
        sid = client.carrier.handshake["sid"]
        with Http(talkative.address) as http:
            assert http.get(target("polling", sid=sid)).status == 400
        talkative.wait_for_output(r'"GET /socket.io/\?EIO=4&transport=polling&sid=… HTTP/1.1" 400')
        assert sid not in talkative.output


class TestALongRequest:
    def test_is_cut_at_200_characters(self, talkative: Server) -> None:
        path = "/" + "long" * 500
        with Http(talkative.address) as http:
            assert http.get(path).status == 404
        line = f"GET {path}"[:200]
        talkative.wait_for_output(f'"{line}…" 404')


class TestARefusedRequest:
    def test_that_django_refuses_is_a_warning(self, quiet: Server) -> None:
        with Http(quiet.address) as http:
            assert http.get("/nowhere/").status == 404
        quiet.wait_for_output(r'"GET /nowhere/ HTTP/1.1" 404')

    def test_of_a_session_has_no_line_of_its_own(self, quiet: Server) -> None:
        """Else a client could fill the log (``Stats.refuse``)."""
        session = Polling(quiet.address)
        path = target("websocket", sid=session.handshake["sid"])
        for _ in range(3):
            with Http(quiet.address) as http:
                headers = handshake_headers(sec_websocket_key="short")
                assert http.get(path, headers).status == 400
        session.cut()
        quiet.wait_for_output(r"Refused \(request\): malformed WebSocket handshake")
        assert "sid=" not in quiet.output
        assert quiet.output.count("malformed WebSocket handshake") == 1
