"""Requests to other servers that wait for their responses."""

from socketio_server.cluster.inquiries import Inquiry
from socketio_server.protocol.cluster_requests import ACKNOWLEDGEMENT, CLIENT_COUNT, Response


def responses(count: int) -> list[Response]:
    return [Response(request_id="r", count=number) for number in range(count)]


def asked(clients: int) -> Response:
    return Response(request_id="r", type=CLIENT_COUNT, client_count=clients)


ACKNOWLEDGED = Response(request_id="r", type=ACKNOWLEDGEMENT)


class TestResponses:
    def test_are_no_more_than_there_are_servers(self) -> None:
        inquiry = Inquiry()
        inquiry.count(2)
        for response in responses(3):
            inquiry.take(response)
        assert inquiry.responses == (responses(2), 0)

    def test_that_come_before_the_servers_are_counted_are_no_more_either(self) -> None:
        inquiry = Inquiry()
        for response in responses(3):
            inquiry.take(response)
        assert not inquiry.done.is_set()
        inquiry.count(2)
        assert inquiry.responses == (responses(2), 0)
        assert inquiry.done.is_set()

    def test_are_none_where_this_server_is_alone(self) -> None:
        inquiry = Inquiry()
        inquiry.take(responses(1)[0])
        inquiry.count(-1)  # it has subscribed since Redis counted
        assert inquiry.responses == ([], 0)


class TestAcknowledgements:
    def test_are_no_more_than_clients_are_asked(self) -> None:
        taken: list[Response] = []
        inquiry = Inquiry(taken.append)
        inquiry.count(2)
        inquiry.take(ACKNOWLEDGED)
        inquiry.take(asked(2))
        for _ in range(3):
            inquiry.take(ACKNOWLEDGED)
        assert len(taken) == 2
        assert not inquiry.done.is_set()
        inquiry.take(asked(0))
        assert inquiry.done.is_set()

    def test_of_clients_that_a_server_too_many_asks_do_not_count(self) -> None:
        taken: list[Response] = []
        inquiry = Inquiry(taken.append)
        inquiry.count(1)
        inquiry.take(asked(1))
        inquiry.take(asked(1))
        for _ in range(2):
            inquiry.take(ACKNOWLEDGED)
        assert len(taken) == 1
