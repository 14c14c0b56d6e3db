"""``SOCKETIO_MESSAGE_LOG_FORMAT``: a line for what clients do (semantics, section 6)."""

import re

import pytest

from tests.support.server import Server
from tests.support.types import Connect, StartServer
from tests.support.wire import TransportName


@pytest.mark.one_process("the command prints the message log; under gunicorn that is LOGGING's")
class TestDefaultFormat:
    def test_tells_who_did_what_and_when(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        before = len(server.output)
        client = connect(transport)
        client.subscribe("room-1")
        client.send("hello")
        client.unsubscribe("room-1")
        start = r'(?m)^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] "Socket\.IO '
        for end in ("subscribe: room-1", "message: hello", "unsubscribe: room-1"):
            server.wait_for_output(f'{start}{end}"$', before)

    @pytest.mark.parametrize(
        ("text", "logged"),
        [
            ("two\nlines", r"two\nlines"),
            ("carriage\rreturn", r"carriage\rreturn"),
            ("\x1b[31mred", r"\x1b[31mred"),
            ("nothing\0", r"nothing\x00"),
            ("line\u2028separator", r"line\u2028separator"),
            ("right\u202eto left", r"right\u202eto left"),
            ("é € 😀", "é € 😀"),
            ("100% of %(TYPE)s", "100% of %(TYPE)s"),
        ],
    )
    def test_control_characters_are_escaped(
        self, server: Server, connect: Connect, text: str, logged: str
    ) -> None:
        before = len(server.output)
        connect().send(text)
        server.wait_for_output(re.escape(f'"Socket.IO message: {logged}"'), before)

    def test_no_more_than_200_characters_of_a_message_are_logged(
        self, server: Server, connect: Connect
    ) -> None:
        before = len(server.output)
        connect().send("x" * 1000)
        line = server.wait_for_output('"Socket.IO message: (x+)…?"', before)
        assert len(line[1]) == 200

    def test_a_refused_subscription_is_not_logged_as_one(
        self, server: Server, connect: Connect
    ) -> None:
        before = len(server.output)
        client = connect()
        client.subscribe("refused-plain")
        client.subscribe("room-1")
        server.wait_for_output("subscribe: room-1", before)
        assert "subscribe: refused" not in server.output[before:]


class TestOtherFormats:
    @pytest.fixture
    def own_format(self, share_server: StartServer) -> Server:
        template = "%(TYPE)s|%(MESSAGE)s|%(HTTP_X_NAME)s|%(REQUEST_METHOD)s|%(TIME).2s"
        return share_server(settings={"SOCKETIO_MESSAGE_LOG_FORMAT": template})

    def test_have_the_keys_of_the_requests_meta(self, own_format: Server, connect: Connect) -> None:
        connect(to=own_format, headers={"X-Name": "Ann"}).send("hello")
        own_format.wait_for_output(r"(?m)^message\|hello\|Ann\|GET\|\d{2}$")

    def test_may_have_keys_that_a_request_lacks(self, own_format: Server, connect: Connect) -> None:
        client = connect(to=own_format)
        client.send("nameless")
        own_format.wait_for_output(r"(?m)^message\|nameless\|.*\|GET\|\d{2}$")
        assert client.messages() == []
        assert "on_error" not in own_format.journal.events(client.id)

    def test_none_turns_the_log_off(self, frugal: Server, connect: Connect) -> None:
        client = connect(to=frugal)
        client.subscribe("unlogged-channel")
        client.send("unlogged-message")
        client.do_without_answer("raise", text="something that is logged")
        frugal.wait_for_output("something that is logged")
        assert "unlogged" not in frugal.output
