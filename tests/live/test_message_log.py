"""``SOCKETIO_MESSAGE_LOG_FORMAT``: a line for what clients do."""

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

    def test_control_characters_are_escaped(self, server: Server, connect: Connect) -> None:
        before = len(server.output)
        connect().send("two\n\x1b[31mlines")
        server.wait_for_output(re.escape(r'"Socket.IO message: two\n\x1b[31mlines"'), before)

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

    def test_none_turns_the_log_off(self, frugal: Server, connect: Connect) -> None:
        client = connect(to=frugal)
        client.subscribe("unlogged-channel")
        client.send("unlogged-message")
        client.do_without_answer("raise", text="something that is logged")
        frugal.wait_for_output("something that is logged")
        assert "unlogged" not in frugal.output
