"""The health answer: what it tells, and to whom."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.test import RequestFactory, override_settings

from socketio_server import health
from socketio_server.options import Options

URL = "/socket.io/"
STAFF = SimpleNamespace(is_staff=True)


class Service:
    """The part of a running server that the answer tells of."""

    workers = 2
    options = Options(broker_url="redis://localhost")

    def snapshot(self) -> dict[str, int]:
        return {"broker_connected": 0}


def ask(request: HttpRequest, question: str = "health") -> HttpResponseBase | None:
    server: Any = Service()
    return health.answer(question, request, server)


def from_user(user: Any) -> HttpRequest:
    request = RequestFactory().get(URL)
    request.user = user
    return request


def with_token(token: str) -> HttpRequest:
    return RequestFactory().get(URL, headers={health.TOKEN_HEADER: token})


class TestItIsGiven:
    def test_to_staff(self) -> None:
        assert ask(from_user(STAFF)) is not None

    @override_settings(DEBUG=True)
    def test_to_everybody_while_debug_is_on(self) -> None:
        assert ask(RequestFactory().get(URL)) is not None

    def test_to_who_has_the_secret_key(self) -> None:
        assert ask(with_token(health.make_token())) is not None


class TestItIsNotGiven:
    @pytest.mark.parametrize("user", [SimpleNamespace(is_staff=False), None])
    def test_to_others(self, user: Any) -> None:
        assert ask(from_user(user)) is None

    def test_for_the_token_of_another_secret_key(self) -> None:
        with override_settings(SECRET_KEY="another"):
            token = health.make_token()
        assert ask(with_token(token)) is None

    def test_for_a_token_that_is_old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        token = health.make_token()
        monkeypatch.setattr(health, "TOKEN_AGE", -1)
        assert ask(with_token(token)) is None

    def test_to_a_question_that_is_none(self) -> None:
        assert ask(from_user(STAFF), "weather") is None


class TestItTells:
    @pytest.fixture
    def told(self) -> dict[str, Any]:
        request = RequestFactory().get(
            URL, headers={"Origin": "https://a.example", "Host": "testserver", "Cookie": "tea=1"}
        )
        with override_settings(DEBUG=True):
            response = ask(request)
        assert response is not None
        assert "no-store" in response["Cache-Control"]
        found: dict[str, Any] = json.loads(b"".join(response))
        return found

    def test_how_many_processes_there_are_and_whether_they_have_their_broker(
        self, told: dict[str, Any]
    ) -> None:
        assert (told["workers"], told["has_broker"], told["is_broker_lost"]) == (2, True, True)

    def test_what_has_arrived_of_the_request(self, told: dict[str, Any]) -> None:
        assert told["host"] == "testserver"
        assert told["scheme"] == "http"
        assert told["origin"] == "https://a.example"
        assert told["cookies"] == ["tea"]

    def test_no_cookie_s_value_and_no_url_of_the_broker(self, told: dict[str, Any]) -> None:
        assert "redis" not in json.dumps(told)


class TestTheStream:
    def test_comes_in_two_parts_whose_length_is_told_before(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(health, "PAUSE", 0)
        response = ask(from_user(STAFF), "stream")
        assert isinstance(response, StreamingHttpResponse)
        parts = list(response)
        assert len(parts) == 2
        assert int(response["Content-Length"]) == len(b"".join(parts))
