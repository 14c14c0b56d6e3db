"""The recheck after each interval where the project has its own say in who a user is: by
middleware, backends, tests and tokens.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, override_settings

from socketio_server.decorators import user_passes_test
from socketio_server.events import Registry
from socketio_server.testing import SocketIOClient
from tests.serving.rights.site import (
    REVOKED,
    Room,
)
from tests.support.users import (
    WITH_SESSIONS,
    Connect,
    browser_of,
    make_user,
)

pytestmark = pytest.mark.usefixtures("tables")


def put_ann(get_response: Any) -> Any:
    """Middleware that lets whoever is logged in be ann."""

    def call(request: Any) -> Any:
        if request.user.is_authenticated:
            request.user = get_user_model()._default_manager.get(username="ann")
        return get_response(request)

    return call


class TestAUserWhoIsImpersonated:
    @pytest.fixture
    def browser(self, boss: Any) -> Client:
        return browser_of(boss)

    @pytest.fixture
    def client(self, connect: Connect, browser: Client) -> SocketIOClient:
        with override_settings(MIDDLEWARE=[*WITH_SESSIONS["MIDDLEWARE"], f"{__name__}.put_ann"]):
            client = connect(None, browser=browser)
        client.clock.advance(120)
        assert client.connected
        return client

    def test_is_disconnected_at_once_when_the_other_logs_out(
        self, client: SocketIOClient, browser: Client
    ) -> None:
        browser.logout()

        assert client.close_reason == REVOKED

    @pytest.mark.parametrize("values", [{"is_active": False}, {"password": "another"}])
    def test_is_disconnected_by_the_interval_when_the_other_is_blocked(
        self, client: SocketIOClient, boss: Any, values: dict[str, Any]
    ) -> None:
        type(boss).objects.filter(pk=boss.pk).update(**values)
        client.clock.advance(60)

        assert client.close_reason == REVOKED


class PlanBackend:
    """Adds to users what another service knows of them, and finds none whom it bans."""

    plan = "gold"
    banned: frozenset[str] = frozenset()
    unreachable: frozenset[int] = frozenset()
    asked = 0

    def get_user(self, user_id: int) -> Any:
        from django.contrib.auth.models import User

        type(self).asked += 1
        if user_id in self.unreachable:
            raise LookupError("no directory")
        user: Any = User.objects.exclude(username__in=self.banned).filter(pk=user_id).first()
        if user is not None:
            user.plan = self.plan
        return user


class TestABackendWithAGetUserOfItsOwn:
    @pytest.fixture(autouse=True)
    def backend(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[PlanBackend]]:
        for name in ("plan", "banned", "unreachable", "asked"):
            monkeypatch.setattr(PlanBackend, name, getattr(PlanBackend, name))
        with override_settings(AUTHENTICATION_BACKENDS=[f"{__name__}.PlanBackend"]):
            yield PlanBackend

    @pytest.mark.parametrize(
        "may",
        [lambda user: user.plan == "gold", lambda user: getattr(user, "plan", None) == "gold"],
        ids=["that must be there", "that may be there"],
    )
    def test_adds_what_tests_of_connections_decide_by(
        self, may: Callable[[Any], bool], backend: type[PlanBackend]
    ) -> None:
        registry = Registry()
        registry.on_connect(user_passes_test(may)(lambda request, socket, context: None))
        with SocketIOClient(client=browser_of(make_user()), registry=registry) as client:
            client.clock.advance(180)
            assert client.connected

            backend.plan = "none"
            client.clock.advance(60)
            assert client.close_reason == REVOKED

    def test_is_heard_where_it_finds_a_user_no_more(
        self, connect: Connect, backend: type[PlanBackend]
    ) -> None:
        client, other = connect(make_user()), connect(make_user("bob"))
        client.clock.advance(60)
        backend.banned = frozenset(["ann"])
        client.clock.advance(60)

        assert client.close_reason == REVOKED
        assert other.connected

    def test_may_fail_for_one_user_and_is_heard_of_the_others(
        self, connect: Connect, backend: type[PlanBackend]
    ) -> None:
        ann = make_user()
        client, other = connect(ann), connect(make_user("bob"))
        client.clock.advance(60)
        backend.unreachable = frozenset([ann.pk])
        backend.banned = frozenset(["bob"])
        with suppress(LookupError):
            client.clock.advance(60)

        assert client.connected
        assert other.close_reason == REVOKED

    def test_is_asked_once_for_each_user(
        self, connect: Connect, backend: type[PlanBackend]
    ) -> None:
        ann = make_user()
        clients = [connect(ann) for _ in range(3)]
        clients[0].clock.advance(60)
        backend.asked = 0
        clients[0].clock.advance(60)

        assert backend.asked == 1


class TestABackendThatLetsInactiveUsersIn:
    @pytest.fixture(autouse=True)
    def _lets_all_in(self) -> Iterator[None]:
        backend = "django.contrib.auth.backends.AllowAllUsersModelBackend"
        with override_settings(AUTHENTICATION_BACKENDS=[backend]):
            yield

    def test_lets_them_stay_who_may_still(self, connect: Connect, room: Room) -> None:
        ann = make_user()
        client = connect(ann)
        client.clock.advance(60)
        room.asked = 0
        type(ann).objects.update(is_active=False)
        client.clock.advance(60)

        assert room.asked == 1
        assert client.connected


class TestTestsThatKnowMoreThanDjango:
    """They are made of everybody, whatever the client is known by."""

    @pytest.fixture
    def is_open(self) -> list[bool]:
        return [True]

    @pytest.fixture
    def registry(self, is_open: list[bool]) -> Registry:
        registry = Registry()

        @registry.on_connect
        @user_passes_test(lambda user: is_open[0], "Closed.")
        def connect(request: Any, socket: Any, context: Any) -> None: ...

        return registry

    def test_are_made_of_anonymous_clients(self, registry: Registry, is_open: list[bool]) -> None:
        with SocketIOClient(registry=registry) as client:
            client.clock.advance(120)
            assert client.connected

            is_open[0] = False
            client.clock.advance(60)
            assert client.received == [("__disconnected__", "Closed.")]

    def test_see_a_tokens_user_as_it_is_now_with_what_was_added(self) -> None:
        ann, seen, registry = make_user(), [], Registry()
        token_user = type(ann)(pk=ann.pk, username="ann")
        token_user.token = "a token"

        def note(user: Any) -> bool:
            seen.append((getattr(user, "token", None), user.first_name))
            return True

        registry.on_connect(user_passes_test(note)(lambda request, socket, context: None))
        with SocketIOClient(registry=registry, user=ann) as client:
            assert client._socket is not None
            client._socket.request.user = token_user
            client.clock.advance(60)
            type(ann).objects.update(first_name="Ann")
            client.clock.advance(60)

        assert seen == [(None, ""), ("a token", ""), ("a token", "Ann")]


class TestAUserOfATokens:
    """One that a handler has set: it is read by its primary key."""

    @pytest.mark.parametrize("as_written", [int, str], ids=["its key", "its key as text"])
    def test_is_verified_too(
        self, registry: Registry, room: Room, as_written: Callable[[int], Any]
    ) -> None:
        ann = make_user()
        registry.on_connect.registrations.clear()

        @registry.on_connect
        def connect(request: Any, socket: Any, context: Any) -> None:
            request.user = type(ann)(pk=as_written(ann.pk), username="ann")

        room.members = {"ann"}
        with SocketIOClient(registry=registry) as client:
            assert client.subscribe("room-1")
            client.clock.advance(60)
            assert client.received == []

            type(ann).objects.filter(pk=ann.pk).update(is_active=False)
            client.clock.advance(60)
            assert client.received == [("__unsubscribed__", "room-1", "Permission denied")]

    @override_settings(SOCKETIO_REFRESH_INTERVAL=None)
    @pytest.mark.parametrize("is_signalled", [True, False], ids=["a signal", "the interval"])
    def test_is_read_where_the_handshakes_users_serve_all_events(
        self, registry: Registry, room: Room, is_signalled: bool
    ) -> None:
        ann = make_user()
        registry.on_connect.registrations.clear()

        @registry.on_connect
        def connect(request: Any, socket: Any, context: Any) -> None:
            request.user = type(ann)(pk=ann.pk, username="ann")

        room.members = {"ann"}
        with SocketIOClient(registry=registry) as client:
            client.subscribe("room-1")
            client.clock.advance(60)
            ann.is_active = False
            if is_signalled:
                ann.save()
            else:
                type(ann).objects.update(is_active=False)
                client.clock.advance(60)
            assert client.received == [("__unsubscribed__", "room-1", "Permission denied")]
