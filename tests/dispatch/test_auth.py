"""The credentials that clients bring when they join are bounded."""

import json

import pytest

from socketio_server.protocol.close_reasons import CloseReason
from tests.dispatch.router.steps import gate, make_server, namespaces
from tests.fakes.hub import settle


class TestAuth:
    def test_is_bounded(self) -> None:
        server = make_server(max_auth_size=100)
        client = server.open()
        client.send("0" + json.dumps({"token": "x" * 100}))
        assert client.received() == ['4{"message":"Auth is too large"}']
        assert client.refusals == ["namespace: auth is too large (SOCKETIO_MAX_AUTH_SIZE)"]

        auth = json.dumps({"token": "x" * 87})
        assert len(auth) == 100
        client.send(f"0{auth}")
        assert client.socket.connected()

    def test_of_all_namespaces_together(self) -> None:
        server = make_server(max_auth_size=100)
        client = server.connect(auth={"token": "x" * 50})
        auth = json.dumps({"token": "x" * 50})
        client.send(f"0/admin,{auth}")
        assert client.received() == ['4/admin,{"message":"Auth is too large"}']

        client.send("1")
        client.send(f"0/admin,{auth}")
        assert namespaces(server) == ["/admin"]


class TestDecoding:
    def test_is_a_worker_s_task(self) -> None:
        """It takes long, and many clients may ask to join in the same turn of the loop."""
        server = make_server(max_concurrent_handlers=1)
        gates = gate(server, "/")
        server.connect().send('2["message","in work"]')
        client = server.open()
        client.send('0{"token":')
        assert client.closed == []

        gates["/"].set()
        settle()
        assert client.closed == [CloseReason.PARSE_ERROR]

    @pytest.mark.parametrize("behind", [[], ["1/admin,"], ["1/admin,", "0/admin,"]])
    def test_ends_the_session_if_it_is_malformed(self, behind: list[str]) -> None:
        server = make_server()
        log: list[str] = []
        for name in ("on_connect", "on_disconnect", "on_finish"):
            for namespace in ("/", "/admin"):

                def note(*args: object, text: str = f"{name} {namespace}") -> None:
                    log.append(text)

                getattr(server.registry, name)(note, namespace=namespace)
        client = server.connect()
        client.send('0/admin,{"token":', *behind)
        assert client.closed == [CloseReason.PARSE_ERROR]
        assert client.refusals == ["packet: malformed JSON"]
        if len(behind) < 2:
            assert client.received() == []
            assert log == ["on_connect /", "on_disconnect /", "on_finish /"]
        assert len(server.clients) == 0
        assert server.dispatcher.wait_until_idle(0)
        assert server.dispatcher.total.bytes == client.router.other_bytes == 0

    def test_gives_its_text_back(self) -> None:
        server = make_server(max_concurrent_handlers=1)
        gates = gate(server, "/")
        server.connect().send('2["message","in work"]')
        client = server.open()
        client.send("0" + json.dumps({"token": "x" * 10_000}))
        assert client.router.other_bytes > 20_000

        gates["/"].set()
        settle()
        assert 10_000 < client.router.other_bytes < 20_000
        assert client.socket.auth == {"token": "x" * 10_000}
        client.leave()
        assert client.router.other_bytes == 0
