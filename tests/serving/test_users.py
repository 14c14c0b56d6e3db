"""Users as recipients: messages to a user, and the users on a channel."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from pytest_django import DjangoAssertNumQueries

import socketio_server
from socketio_server.channels import CHANNELS
from socketio_server.decorators import login_required
from socketio_server.events import Registry
from socketio_server.serving.around_events import identity
from socketio_server.serving.around_events.watched_requests import identity_of
from socketio_server.signals import channel_subscribed
from tests.support.users import Connect, browser_of, delete_user, make_user

pytestmark = pytest.mark.usefixtures("tables")


class TestMessagesToAUser:
    def test_reach_all_of_its_clients_and_nobody_else(self, connect: Connect) -> None:
        ann = make_user()
        phone, desk = connect(client=browser_of(ann)), connect(client=browser_of(ann))
        ben, stranger = connect(client=browser_of(make_user("ben"))), connect()
        socketio_server.emit("news", 1, to=ann)

        assert phone.received == desk.received == [("news", 1)]
        assert ben.received == stranger.received == []

    def test_are_not_sent_to_who_is_skipped(self, connect: Connect) -> None:
        ann, ben = make_user(), make_user("ben")
        at_ann, at_ben = connect(client=browser_of(ann)), connect(client=browser_of(ben))
        socketio_server.emit("news", to=[ann, ben, "room"], skip=ann)
        assert at_ann.received == []
        assert at_ben.received == [("news",)]

    def test_reach_the_user_that_a_handler_has_set(
        self, connect: Connect, registry: Registry
    ) -> None:
        ann = make_user()

        @registry.on_connect
        def log_in(request: Any, socket: Any, context: Any) -> None:
            request.user = ann

        @registry.on("tell me")
        def tell(request: Any, socket: Any, context: Any) -> None:
            socket.emit("told", to=request.user)

        client = connect()
        client.call("tell me")
        assert client.received == [("told",)]

    def test_stay_away_once_a_handler_has_seen_that_it_is_gone(
        self, connect: Connect, registry: Registry
    ) -> None:
        registry.on("who")(lambda request, socket, context: socket.user.get_username())
        ann = make_user()
        browser = browser_of(ann)
        client = connect(client=browser)
        browser.logout()
        client.call("who")
        socketio_server.emit("news", to=ann)
        assert client.received == []

    def test_reach_each_namespace_by_itself(self, connect: Connect, registry: Registry) -> None:
        registry.on("news", namespace="/admin")(print)
        ann = make_user()
        browser = browser_of(ann)
        client, admin = connect(client=browser), connect(client=browser, namespace="/admin")
        socketio_server.emit("news", to=ann, namespace="/admin")
        assert client.received == []
        assert admin.received == [("news",)]

    def test_leave_channels_alone(self, connect: Connect) -> None:
        connect(client=browser_of(make_user()))
        assert len(CHANNELS) == 0

    @pytest.mark.parametrize("name", ["AnonymousUser", "User"])
    def test_are_for_users_that_can_be_told_apart(self, name: str) -> None:
        from django.contrib.auth import models

        user = getattr(models, name)()
        with pytest.raises(ValueError, match=r"can't be told from others"):
            socketio_server.emit("news", to=user)
        with pytest.raises(ValueError, match=r"can't be told from others"):
            socketio_server.emit("news", skip=user)

    @pytest.mark.parametrize(
        "end",
        [
            pytest.param(lambda user, browser: browser.logout(), id="logs out"),
            pytest.param(lambda user, browser: browser.session.flush(), id="loses the session"),
            pytest.param(
                lambda user, browser: type(user)(pk=user.pk, is_active=False).save(),
                id="is blocked",
            ),
        ],
    )
    def test_do_not_reach_a_client_whose_user(
        self, connect: Connect, end: Callable[[Any, Client], object]
    ) -> None:
        ann = make_user()
        browser = browser_of(ann)
        client = connect(client=browser)
        socketio_server.emit("news", 1, to=ann)
        end(ann, browser)
        socketio_server.emit("news", 2, to=ann)
        assert client.received == [("news", 1)]

    def test_do_not_reach_any_tab_of_a_session_that_was_verified_after_a_logout(
        self, connect: Connect, registry: Registry
    ) -> None:
        registry.authorize(lambda request, socket, context, channel: True)
        ann = make_user()
        browser = browser_of(ann)
        tabs = [connect(client=browser) for _ in range(3)]
        browser.logout()
        socketio_server.emit("news", to=ann)
        assert [tab.received for tab in tabs] == [[], [], []]

    @pytest.mark.parametrize("refuses", [False, True], ids=["are none", "are refused"])
    def test_do_not_reach_any_tab_of_a_session_whose_users_rights(
        self,
        connect: Connect,
        registry: Registry,
        monkeypatch: pytest.MonkeyPatch,
        refuses: bool,
    ) -> None:
        """The first tab is asked, and its answer is that of the others."""
        registry.authorize(login_required(lambda request, socket, context, channel: True))
        ann = make_user()
        browser = browser_of(ann)
        tabs = [connect(client=browser) for _ in range(2)]
        for tab in tabs:
            tab.subscribe("room-1")
        if refuses:

            def refuse(*args: Any) -> None:
                raise PermissionDenied

            monkeypatch.setattr("django.contrib.auth.backends.ModelBackend.get_user", refuse)
            socketio_server.recheck(ann)
        else:
            type(ann)(pk=ann.pk, is_active=False).save()
        socketio_server.emit("news", to=ann)
        assert [[each[0] for each in tab.received] for tab in tabs] == [["__unsubscribed__"]] * 2

    def test_do_not_reach_a_client_that_was_logged_out_while_its_user_was_read(
        self, connect: Connect, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ann = make_user()

        @registry.on("look")
        def look(request: Any, socket: Any, context: Any) -> None:
            def read(*args: Any) -> Any:
                found = identity_of(request)
                assert found is not None
                found.log_out()
                return ann

            with monkeypatch.context() as patched:
                patched.setattr(identity, "read_user", read)
                assert request.user == ann

        client = connect(user=ann)
        client.clock.advance(60)
        client.emit("look")
        socketio_server.emit("news", to=ann)
        assert client.received == []

    def test_reach_the_user_s_other_devices_still(self, connect: Connect) -> None:
        ann = make_user()
        browser = browser_of(ann)
        connect(client=browser)
        client = connect(client=browser_of(ann))
        browser.logout()
        socketio_server.emit("news", to=ann)
        assert client.received == [("news",)]


class TestUsersOnAChannel:
    def test_are_those_there_each_once_without_the_anonymous(self, connect: Connect) -> None:
        ann, ben, cem = make_user(), make_user("ben"), make_user("cem")
        for user in (ben, ann, ben):
            connect(client=browser_of(user)).subscribe("room")
        connect().subscribe("room")
        connect(client=browser_of(cem)).subscribe("elsewhere")
        found = socketio_server.users_on("room")
        assert list(found) == [ben, ann]
        assert found.missing == 0

    def test_without_those_that_are_deleted(self, connect: Connect) -> None:
        ann = make_user()
        connect(client=browser_of(ann)).subscribe("room")
        delete_user(ann)
        assert list(socketio_server.users_on("room")) == []

    def test_count_who_comes_when_it_is_there_and_nobody_who_leaves(
        self, connect: Connect, registry: Registry
    ) -> None:
        seen: list[list[Any]] = []

        @registry.on_subscribe
        @registry.on_unsubscribe
        def look(request: Any, socket: Any, context: Any, channel: str) -> None:
            seen.append(list(socketio_server.users_on(channel)))

        def count(**kwargs: Any) -> None:
            seen.append(list(socketio_server.users_on("room")))

        channel_subscribed.connect(count, weak=False, dispatch_uid="count")
        try:
            ann = make_user()
            client = connect(client=browser_of(ann))
            client.subscribe("room")
            assert seen == [[], [ann]]
            client.unsubscribe("room")
            client.subscribe("room")
            seen.clear()
            client.disconnect()
            assert seen == [[]]
        finally:
            channel_subscribed.disconnect(dispatch_uid="count")

    def test_are_not_shown_as_channels(self, connect: Connect) -> None:
        connect(client=browser_of(make_user())).subscribe("room")
        (record,) = socketio_server.find_sockets()
        assert record.channels == ("room",)
        assert list(socketio_server.channel_names()) == ["room"]

    def test_cost_one_query_however_many_clients_there_are(
        self, connect: Connect, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for name in "abc":
            connect(client=browser_of(make_user(name))).subscribe("room")
        with django_assert_num_queries(1):
            assert len(socketio_server.users_on("room")) == 3
