"""The request in handlers: the real one of the handshake, after the project's middleware."""

import pytest

from tests.support.server import Server
from tests.support.types import Connect
from tests.support.views import log_in
from tests.support.wire import TransportName


class TestRequest:
    def test_is_that_of_the_handshake(self, connect: Connect, transport: TransportName) -> None:
        client = connect(transport, query={"room": "é 1"}, headers={"User-Agent": "tests"})
        seen = client.do("describe request")
        assert seen["query"]["room"] == "é 1"
        assert seen["query"]["EIO"] == "4"
        assert seen["path"] == "/socket.io/"
        assert seen["agent"] == "tests"
        assert seen["address"] == "127.0.0.1"
        assert seen["class"] == "WSGIRequest"

    def test_has_the_cookies(self, connect: Connect, transport: TransportName) -> None:
        client = connect(transport, headers={"Cookie": "flavour=oat"})
        assert client.do("describe request")["cookies"] == {"flavour": "oat"}

    def test_has_the_user_and_the_session(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        cookie = log_in(server, "ann", colour="green")
        seen = connect(transport, headers=cookie).do("describe request")
        assert (seen["user"], seen["authenticated"], seen["colour"]) == ("ann", True, "green")

    def test_has_an_anonymous_user_where_nobody_logged_in(self, connect: Connect) -> None:
        seen = connect().do("describe request")
        assert (seen["user"], seen["authenticated"], seen["colour"]) == ("", False, None)

    def test_is_another_one_for_each_client(self, server: Server, connect: Connect) -> None:
        ann = connect(headers=log_in(server, "ann", colour="green"))
        bob = connect(headers=log_in(server, "bob", colour="red"))
        for client, name in ((ann, "ann"), (bob, "bob"), (ann, "ann")):
            assert client.do("describe request")["user"] == name


class TestLanguage:
    """What middleware activated for the handshake is active in handlers."""

    @pytest.mark.parametrize(("accepted", "active"), [("fr", "fr"), ("en", "en"), ("xx", "en")])
    def test_is_the_clients(
        self, connect: Connect, transport: TransportName, accepted: str, active: str
    ) -> None:
        client = connect(transport, headers={"Accept-Language": accepted})
        assert client.do("describe request")["language"] == active

    def test_is_that_of_the_messages(self, connect: Connect) -> None:
        client = connect(headers={"Accept-Language": "fr"})
        client.do_without_answer("send thing", thing="lazy", method="send")
        assert client.messages() == [{"lazy": "Oui"}]

    def test_is_never_that_of_another_client(self, connect: Connect) -> None:
        french = connect(headers={"Accept-Language": "fr"})
        english = connect(headers={"Accept-Language": "en"})
        for _ in range(3):
            assert french.do("describe request")["language"] == "fr"
            assert english.do("describe request")["language"] == "en"
