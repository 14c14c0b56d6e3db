"""What is said of an answer that refuses a request."""

import pytest

from socketio_server.doctor.remedies import explain
from socketio_server.doctor.site import Answer
from socketio_server.views import NOT_RUNNING

HOST = ("proxy_set_header Host $http_host;",)
OPENING = {"pingInterval": 40_000, "maxPayload": 3_000_000}


def answer(status: int, body: str = "", **headers: str) -> Answer:
    return Answer(status, headers, [], body.encode())


class TestAnAnswer:
    @pytest.mark.parametrize(
        ("answer", "said", "lines"),
        [
            (answer(504), "does not wait", ("proxy_read_timeout 80s;",)),
            (answer(413), "refuses a message", ("client_max_body_size 3m;",)),
            (answer(502), "No server answers", ()),
            (answer(503), "No server answers", ()),
            (answer(503, f"{NOT_RUNNING}start it.\n"), "its port is SOCKETIO_PORT", ()),
            (answer(404, "<html>", server="WSGIServer/0.2 CPython"), "plain `runserver`", ()),
            (
                answer(400, '{"code":1,"message":""}'),
                "SOCKETIO_NODE",
                ("ip_hash;  # in upstream {}",),
            ),
            (answer(403, '{"code":4,"message":""}'), "ALLOWED_HOSTS", HOST),
            (answer(400, '{"code":0,"message":"Transport unknown"}'), "Transport unknown", ()),
            (answer(400, "<h1>Bad Request (400)</h1>"), "ALLOWED_HOSTS lacks", HOST),
            (answer(401, '{"code":3,"message":""}'), "--cookie sessionid=", ()),
            (answer(429), "SOCKETIO_TRUSTED_PROXIES", ()),
            (answer(302, location="/login/"), "redirects to /login/", ()),
            (answer(200, "<html>"), "status 200, '<html>'", ()),
            (answer(404, "[]"), "status 404, '[]'", ()),
        ],
    )
    def test_is_explained_with_the_lines_to_change(
        self, answer: Answer, said: str, lines: tuple[str, ...]
    ) -> None:
        wrong = explain(answer, OPENING)
        assert said in wrong.text
        assert wrong.nginx == lines

    def test_before_the_server_has_said_anything_has_lines_of_its_defaults(self) -> None:
        assert explain(answer(504), {}).nginx == ("proxy_read_timeout 60s;",)
        assert explain(answer(413), {}).nginx == ("client_max_body_size 1m;",)
