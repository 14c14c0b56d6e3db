"""A session that goes from polling to a WebSocket."""

import pytest

from socketio_server.engine.session import Session
from socketio_server.engine.transports.exchange import BAD_REQUEST, error_response
from socketio_server.net.deadlines import TICK
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.protocol.http1.responses import Response
from socketio_server.protocol.websocket.frames import Close
from tests.engine.site import Site, request, upgrade
from tests.fakes.engine import MOMENT, outgoing


class TestUpgrade:
    """The engine's part in it; the states are in ``tests/engine/test_session_upgrade.py``."""

    def find(self, site: Site, **query: str) -> Session | Response:
        return site.find_upgradable(upgrade(**query))

    def test_a_session_over_polling_is_found(self, site: Site) -> None:
        sid = site.open_polling()
        assert self.find(site, transport="websocket", sid=sid) is site.sessions[0]

    @pytest.mark.parametrize("sid", ["unknown", ""])
    def test_an_unknown_one_is_not(self, site: Site, sid: str) -> None:
        found = self.find(site, transport="websocket", sid=sid)
        assert found == error_response(ErrorCode.UNKNOWN_SESSION)

    def test_where_another_websocket_carries_the_session_a_second_is_closed(
        self, site: Site
    ) -> None:
        """No second WebSocket takes over a session."""
        carrier = site.open_websocket(b"")
        second = site.probe(site.sessions[0])
        second.send("2probe", "5")
        site.loop.run()
        carrier.received()

        assert second.received() == [Close(1000, "")]
        second.close()
        site.loop.run()
        assert second.is_cut
        site.sessions[0].send(outgoing("hello"))
        assert carrier.received() == ["4hello"]
        assert site.stats.refusals.counts == {"request": 1}

    def test_where_websockets_are_switched_off_it_is_refused(self) -> None:
        site = Site(transports=("polling",))
        sid = site.open_polling()
        found = self.find(site, transport="websocket", sid=sid)
        assert found == BAD_REQUEST
        site.close()

    def test_a_websocket_takes_over(self, site: Site) -> None:
        sid = site.open_polling()
        client = site.probe(site.sessions[0])
        client.send("2probe")
        site.loop.run()
        client.send("5", "4hello")
        site.loop.run()

        assert site.sessions[0].transport.name == "websocket"
        assert site.handlers[0].messages == ["hello"]
        response = site.respond(request(transport="polling", sid=sid))
        assert response == BAD_REQUEST

    def test_where_another_websocket_probes_a_second_is_closed(self, site: Site) -> None:
        site.open_polling()
        first = site.probe(site.sessions[0])
        second = site.probe(site.sessions[0])
        site.loop.run()
        assert second.received() == [Close(1000, "")]

        first.send("2probe", "5")
        site.loop.run()
        assert site.sessions[0].transport.name == "websocket"

    def test_one_that_came_too_late_is_closed(self, site: Site) -> None:
        site.open_polling()
        session = site.sessions[0]
        session.close(CloseReason.PING_TIMEOUT)

        assert site.probe(session).received() == [Close(1000, "")]

    def test_one_that_takes_too_long_is_closed_and_the_session_goes_on(self) -> None:
        site = Site(upgrade_timeout=MOMENT)
        sid = site.open_polling()
        client = site.probe(site.sessions[0])
        site.loop.advance(TICK)

        assert client.received() == [Close(1000, "")]
        assert site.post(sid, b"4still here").status == 200
        assert self.find(site, transport="websocket", sid=sid) is site.sessions[0]
        site.close()

    def test_one_that_took_over_in_time_is_left_alone(self) -> None:
        site = Site(upgrade_timeout=MOMENT)
        site.open_polling()
        client = site.probe(site.sessions[0])
        client.send("2probe", "5")
        site.loop.run()
        client.received()
        site.loop.advance(TICK)

        assert client.received() == []
        assert site.sessions[0].is_open
        assert site.stats.refusals.counts == {}
        site.close()
