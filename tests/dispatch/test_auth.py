"""The credentials that clients bring when they join are bounded."""

import json

from tests.dispatch.router.steps import make_server, namespaces


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
