"""How many connections and handshakes the server takes: in all, and from one address (security,
rule 12).

Addresses of this machine's loopback do not count for themselves; so what is about one address is
tried with another one that this machine has.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.http import Http, Refused
from tests.support.project import make_project
from tests.support.server import Address, Server
from tests.support.tools import require, wait_until
from tests.support.types import Connect, StartServer
from tests.support.websocket import WebSocket
from tests.support.wire import target

MOST = 5
"""How many connections, or handshakes, the servers here take."""

EVERYWHERE = ("--noreload", "0.0.0.0:0")
NO_ROOM = r"Refused \(connection\): too many connections \([^)]+\): 127\.0\.0\.1"


class Visitors:
    """Opens connections to a server, and closes them at the end."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def come(self, address: Address) -> Http:
        """Open a connection, and see that it is served.

        :raises ConnectionError: if it is not.
        """
        http = self._stack.enter_context(Http(address))
        assert http.get("/state/").status == 200
        return http

    def come_in_the_end(self, address: Address) -> Http:
        """Open connections until one is served."""

        def come() -> Http | None:
            with suppress(ConnectionError):
                return self.come(address)
            return None

        http = wait_until(come, "room for a connection")
        assert http is not None
        return http


@pytest.fixture
def visitors() -> Iterator[Visitors]:
    """Open connections for as long as the test goes on."""
    with ExitStack() as stack:
        yield Visitors(stack)


@pytest.fixture(scope="session")
def own_address() -> str:
    """An address of this machine that is not a loopback's."""
    found = ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("198.51.100.1", 9))  # tells the way there, and sends nothing
        found = probe.getsockname()[0]
    require("a network besides the loopback", found=bool(found) and not found.startswith("127."))
    return found


class TestConnectionsInAll:
    @pytest.fixture
    def small(self, start_server: StartServer) -> Server:
        """A server for few."""
        return start_server(settings={"SOCKETIO_MAX_CONNECTIONS": MOST})

    def test_are_served_up_to_the_limit_and_closed_at_once_beyond_it(
        self, small: Server, visitors: Visitors
    ) -> None:
        served = [visitors.come(small.address) for _ in range(MOST)]
        for _ in range(3):
            with pytest.raises(ConnectionError):
                visitors.come(small.address)
        small.wait_for_output(NO_ROOM)
        for http in served:
            assert http.get("/state/").status == 200

    def test_are_served_again_when_one_has_gone(self, small: Server, visitors: Visitors) -> None:
        served = [visitors.come(small.address) for _ in range(MOST)]
        for http in served:
            http.close()
            visitors.come_in_the_end(small.address)
            with pytest.raises(ConnectionError):
                visitors.come(small.address)

    def test_include_websockets(self, small: Server, visitors: Visitors, connect: Connect) -> None:
        clients = [connect(to=small) for _ in range(MOST)]
        with pytest.raises(ConnectionError):
            visitors.come(small.address)
        with pytest.raises((Refused, ConnectionError)):
            connect(to=small)
        assert clients[0].messages() == []
        for end in (clients[0].close, clients[1].carrier.cut, clients[2].carrier.reset):
            end()
            visitors.come_in_the_end(small.address)

    def test_leave_some_of_the_descriptors_for_all_else(
        self, start_server: StartServer, tmp_path: Path, visitors: Visitors
    ) -> None:
        limit = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\n"
        settings = f"{limit}ROOT_URLCONF = 'tests.project.urls'\n"
        server = start_server(manage=make_project(tmp_path, {}, settings=settings))
        served = [visitors.come(server.address) for _ in range(160)]  # four of five
        with pytest.raises(ConnectionError):
            visitors.come(server.address)
        assert served[0].get("/state/").status == 200


class TestConnectionsOfOneAddress:
    @pytest.fixture
    def fair(self, share_server: StartServer) -> Server:
        """A server that takes few of each address."""
        return share_server(
            arguments=EVERYWHERE,
            settings={"SOCKETIO_MAX_CONNECTIONS_PER_ADDRESS": MOST, "ALLOWED_HOSTS": ["*"]},
        )

    def test_are_served_up_to_the_limit_and_closed_at_once_beyond_it(
        self, fair: Server, own_address: str, visitors: Visitors
    ) -> None:
        there = (own_address, fair.address[1])
        served = [visitors.come_in_the_end(there) for _ in range(MOST)]
        with pytest.raises(ConnectionError):
            visitors.come(there)
        fair.wait_for_output(
            r"too many connections from one address \(SOCKETIO_MAX_CONNECTIONS_PER_ADDRESS\): "
            + own_address
        )
        for http in served:
            assert http.get("/state/").status == 200
        served[0].close()
        visitors.come_in_the_end(there)

    def test_leave_other_addresses_alone(
        self, fair: Server, own_address: str, visitors: Visitors
    ) -> None:
        here, there = (("127.0.0.1", fair.address[1]), (own_address, fair.address[1]))
        for _ in range(MOST):
            visitors.come_in_the_end(there)
        with pytest.raises(ConnectionError):
            visitors.come(there)
        for _ in range(2 * MOST):
            visitors.come(here)

    def test_of_this_machine_are_not_limited(self, fair: Server, visitors: Visitors) -> None:
        for _ in range(2 * MOST):
            visitors.come(("127.0.0.1", fair.address[1]))


class TestHandshakesOfOneAddress:
    @pytest.fixture
    def reserved(self, share_server: StartServer) -> Server:
        """A server that shakes few hands."""
        return share_server(
            arguments=EVERYWHERE,
            settings={"SOCKETIO_MAX_HANDSHAKES_PER_ADDRESS": MOST, "ALLOWED_HOSTS": ["*"]},
        )

    def shake_hands(self, address: Address, count: int) -> list[int]:
        """Ask for sessions over polling one after another; return the answers' statuses."""
        request = f"GET {target('polling')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        with Http(address) as http:
            http.send(request * count)
            return [http.read_response().status for _ in range(count)]

    def open_websockets(self, address: Address, count: int) -> None:
        """Open sessions over WebSocket one after another."""
        for _ in range(count):
            WebSocket(address, target("websocket")).cut()

    def test_are_answered_with_429_beyond_the_limit(
        self, reserved: Server, own_address: str
    ) -> None:
        there = (own_address, reserved.address[1])
        statuses = self.shake_hands(there, 200)
        assert set(statuses) <= {200, 429}
        assert 429 in statuses
        with pytest.raises(Refused) as refused:
            self.open_websockets(there, 200)
        assert refused.value.response.status == 429
        assert refused.value.response.body == b""
        reserved.wait_for_output(
            r"Refused \(handshake\): too many handshakes \(SOCKETIO_MAX_HANDSHAKES_PER_ADDRESS\) "
            rf"\(from {own_address}\)"
        )

    def test_are_possible_again_after_a_while(self, reserved: Server, own_address: str) -> None:
        there = (own_address, reserved.address[1])
        assert 429 in self.shake_hands(there, 200)
        wait_until(lambda: self.shake_hands(there, 1) == [200], "a handshake")

    def test_leave_the_sessions_alone_that_there_are(
        self, reserved: Server, own_address: str
    ) -> None:
        there = (own_address, reserved.address[1])

        def open_session() -> str | None:
            with Http(there) as http:
                response = http.get(target("polling"))
            return response.text.split('"')[3] if response.status == 200 else None

        sid = wait_until(open_session, "a handshake")
        assert sid is not None
        assert 429 in self.shake_hands(there, 200)
        with Http(there) as http:
            assert http.request("POST", target("polling", sid=sid), "40").body == b"ok"
            assert http.get(target("polling", sid=sid)).text.startswith("40{")

    def test_of_this_machine_are_not_limited(self, reserved: Server, own_address: str) -> None:
        assert 429 in self.shake_hands((own_address, reserved.address[1]), 200)
        here = ("127.0.0.1", reserved.address[1])
        assert self.shake_hands(here, 3 * MOST) == [200] * 3 * MOST


class TestSessionsOfOneAddress:
    def test_are_twice_as_many_as_its_connections_at_most(
        self, start_server: StartServer, own_address: str
    ) -> None:
        server = start_server(
            arguments=EVERYWHERE,
            settings={"SOCKETIO_MAX_CONNECTIONS_PER_ADDRESS": 2, "ALLOWED_HOSTS": ["*"]},
        )
        there = (own_address, server.address[1])
        with Http(there) as http:
            sids = [http.get(target("polling")).text.split('"')[3] for _ in range(4)]
            assert http.get(target("polling")).status == 429
            server.wait_for_output(
                r"Refused \(address\): too many sessions of one address "
                rf"\(SOCKETIO_MAX_CONNECTIONS_PER_ADDRESS\) \(from {own_address}\)"
            )
            http.request("POST", target("polling", sid=sids[0]), "1")
            assert http.get(target("polling")).status == 200

    def test_count_until_their_last_handlers_have_run(
        self, start_server: StartServer, own_address: str
    ) -> None:
        """Else one address could take all handlers, with clients that have gone."""
        server = start_server(
            arguments=EVERYWHERE,
            settings={"SOCKETIO_MAX_CONNECTIONS_PER_ADDRESS": 2, "ALLOWED_HOSTS": ["*"]},
        )
        here, there = ("127.0.0.1", server.address[1]), (own_address, server.address[1])
        for _ in range(4):
            with Http(there) as http:
                sid = http.get(target("polling")).text.split('"')[3]
                busy = '42["message",{"do":"wait","gate":"one"}]'
                for packet in ("40", busy, "1"):
                    http.request("POST", target("polling", sid=sid), packet)
        with Http(there) as http:
            assert http.get(target("polling")).status == 429
            with Http(here) as other:
                assert other.post("/outside/open_gate/", '["one"]').text == "done"
            wait_until(lambda: http.get(target("polling")).status == 200, "the last handlers")


class TestTrustedProxies:
    def test_may_connect_and_shake_hands_without_limit(
        self, share_server: StartServer, own_address: str, visitors: Visitors
    ) -> None:
        server = share_server(
            arguments=EVERYWHERE,
            settings={
                "ALLOWED_HOSTS": ["*"],
                "SOCKETIO_MAX_CONNECTIONS_PER_ADDRESS": MOST,
                "SOCKETIO_MAX_HANDSHAKES_PER_ADDRESS": MOST,
                "SOCKETIO_TRUSTED_PROXIES": [own_address],
            },
        )
        there = (own_address, server.address[1])
        connections = [visitors.come(there) for _ in range(2 * MOST)]
        for http in connections:
            assert http.get(target("polling")).status == 200


class TestSessions:
    def test_there_are_no_more_than_allowed(self, start_server: StartServer) -> None:
        server = start_server(settings={"SOCKETIO_MAX_SESSIONS": 2})
        with Http(server.address) as http:
            sids = [http.get(target("polling")).text.split('"')[3] for _ in range(2)]
            assert http.get(target("polling")).status == 503
            with pytest.raises(Refused):
                WebSocket(server.address, target("websocket"))
            server.wait_for_output("too many sessions")

            http.request("POST", target("polling", sid=sids[0]), "1")
            assert http.get(target("polling")).status == 200
