"""What Django's signals tell of: who loses a right is disconnected, in tests at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth import login, logout, update_session_auth_hash
from django.core.signals import request_finished, request_started
from django.db.models.signals import post_delete
from django.test import Client, override_settings

from socketio_server.events import Registry
from socketio_server.serving.rights import revocations
from socketio_server.serving.rights.fingerprints import members_field
from socketio_server.testing import ConnectionRefused, SocketIOClient
from tests.serving.rights.site import REVOKED, Room, guarded_by_permission, make_permission
from tests.support.users import (
    WITH_SESSIONS,
    Connect,
    browser_of,
    make_user,
    request_of,
)

pytestmark = pytest.mark.usefixtures("tables")


@contextmanager
def answering() -> Iterator[None]:
    """Answer a request, as a view does."""
    request_started.send(None)
    try:
        yield
    finally:
        request_finished.send(None)


def visitor() -> Client:
    """A browser with a session in which nobody is logged in."""
    browser = Client()
    session = browser.session
    session["colour"] = "red"
    session.save()
    return browser


class TestLoggingOut:
    def test_ends_the_connections_of_the_session_and_no_other(
        self, connect: Connect, log: list[str]
    ) -> None:
        ann = make_user()
        browser = browser_of(ann)
        here, there = connect(ann, browser=browser), connect(ann)
        browser.logout()

        assert here.close_reason == REVOKED
        assert here.received == [("__disconnected__", "Please log in.")]
        assert log == ["gone: authorization revoked", "left room-1"]
        assert there.connected
        with pytest.raises(ConnectionRefused, match=r"Please log in\."):
            here.connect()

    def test_ends_those_of_a_session_that_is_deleted(self, connect: Connect) -> None:
        from django.contrib.sessions.models import Session

        client = connect(make_user())
        Session.objects.all().delete()

        assert client.close_reason == REVOKED

    def test_ends_those_of_a_session_that_is_flushed(self, connect: Connect) -> None:
        ann = make_user()
        browser = browser_of(ann)
        client = connect(ann, browser=browser)
        browser.session.flush()

        assert client.close_reason == REVOKED

    def test_is_heard_of_after_requests_to_a_project_without_sessions(self) -> None:
        from django.contrib.sessions.models import Session

        post_delete.disconnect(revocations._session_deleted, sender=Session)
        apps = WITH_SESSIONS["INSTALLED_APPS"]
        for installed in ([app for app in apps if app != "django.contrib.sessions"], apps):
            with override_settings(INSTALLED_APPS=installed):
                request_started.send(None)
                request_finished.send(None)

        assert post_delete.has_listeners(Session)

    def test_in_a_handler_ends_its_own_connection_behind_it(
        self, registry: Registry, connect: Connect
    ) -> None:
        @registry.on("log out")
        def log_out(request: Any, socket: Any, context: Any) -> str:
            logout(request)
            return "Goodbye."

        client = connect(make_user())
        assert client.call("log out") == "Goodbye."
        assert client.close_reason == REVOKED


class TestASessionWhoseKeyIsReplaced:
    def test_lets_the_page_come_back_with_its_new_cookies(self, connect: Connect) -> None:
        ann = make_user()
        browser = browser_of(ann)
        client = connect(ann, browser=browser)
        browser.session.cycle_key()

        assert client.close_reason == "session replaced"
        assert client.received == []

    @override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache")
    def test_by_a_visitor_s_login_lets_it_come_back_whatever_stores_the_session(self) -> None:
        browser = visitor()
        with SocketIOClient(client=browser, registry=Registry()) as client:
            with answering():
                login(request_of(browser), make_user())
                assert client.connected

            assert client.close_reason == "session replaced"

    def test_by_a_new_password_ends_the_connections_of_other_sessions(
        self, connect: Connect
    ) -> None:
        ann = make_user()
        browser = browser_of(ann)
        here, there = connect(ann, browser=browser), connect(ann)
        with answering():
            ann.set_password("another")
            ann.save()
            request = request_of(browser)
            request.user = ann
            update_session_auth_hash(request, ann)
            assert here.connected

        assert here.close_reason == "session replaced"
        assert there.close_reason == REVOKED

    def test_by_a_login_as_somebody_else_lets_the_page_come_back(self, connect: Connect) -> None:
        browser = browser_of(make_user())
        client = connect(None, browser=browser)
        with answering():
            login(request_of(browser), make_user("bob"))

        assert client.close_reason == "session replaced"


class TestWhatAViewChanges:
    """It is announced when the view has returned, however slowly its answer is taken."""

    def answer(self, view: Callable[[], object], cookies: str = "") -> None:
        """Let a view answer a request, as the server does, and send nothing of the answer."""

        def application(environ: object, start_response: object) -> list[bytes]:
            request_started.send(None)
            view()
            return [b"answer"]

        revocations.watch(application)({"HTTP_COOKIE": cookies}, lambda *args: None)

    def test_is_heard_before_the_answer_is_sent(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(ann)

        def block() -> None:
            ann.is_active = False
            ann.save()
            assert client.connected

        try:
            self.answer(block)
            assert client.close_reason == REVOKED
        finally:
            request_finished.send(None)

    def test_is_heard_with_the_next_request_where_its_own_never_finished(
        self, connect: Connect
    ) -> None:
        ann = make_user()
        client = connect(ann)
        with answering():
            ann.delete()
            assert client.connected
            request_started.send(None)

            assert client.close_reason == REVOKED

    def test_is_heard_at_once_while_the_answer_is_sent(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(ann)
        try:
            self.answer(lambda: None)
            ann.delete()
            assert client.close_reason == REVOKED
        finally:
            request_finished.send(None)

    def test_waits_for_the_new_cookies_of_a_session_whose_key_it_replaces(
        self, connect: Connect
    ) -> None:
        ann = make_user()
        browser = browser_of(ann)
        here, there = connect(ann, browser=browser), connect(ann)

        def change_password() -> None:
            ann.set_password("another")
            ann.save()
            request = request_of(browser)
            request.user = ann
            update_session_auth_hash(request, ann)

        try:
            self.answer(change_password)
            assert here.connected
        finally:
            request_finished.send(None)
        assert here.close_reason == "session replaced"
        assert there.close_reason == REVOKED

    @override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache")
    @pytest.mark.parametrize("does_log_out", [False, True])
    def test_waits_for_new_cookies_of_sessions_in_a_cache_too(
        self, connect: Connect, does_log_out: bool
    ) -> None:
        ann = make_user()
        browser = browser_of(ann)
        here, there = connect(ann, browser=browser), connect(ann)
        cookies = browser.cookies.output(header="", attrs=[])

        def change_password() -> None:
            ann.set_password("another")
            ann.save()
            request = request_of(browser)
            request.user = ann
            if does_log_out:
                logout(request)
            else:
                update_session_auth_hash(request, ann)

        try:
            self.answer(change_password, cookies)
            assert here.connected is not does_log_out
        finally:
            request_finished.send(None)
        assert here.close_reason == (REVOKED if does_log_out else "session replaced")
        assert there.close_reason == REVOKED

    def test_ends_the_other_sessions_that_a_login_deletes(self, connect: Connect) -> None:
        from django.contrib.sessions.backends.db import SessionStore
        from django.contrib.sessions.models import Session

        ann = make_user()
        client = connect(ann)

        def log_in() -> None:
            others = list(Session.objects.all())
            request = request_of(Client())
            request.session = SessionStore()
            login(request, ann)
            for session in others:
                session.delete()

        try:
            self.answer(log_in)
        finally:
            request_finished.send(None)
        assert client.close_reason == REVOKED


class TestAUserWho:
    def test_is_made_inactive_is_disconnected(self, connect: Connect) -> None:
        ann, bob = make_user(), make_user("bob")
        client, other = connect(ann), connect(bob)
        ann.is_active = False
        ann.save()

        assert client.close_reason == REVOKED
        assert other.connected

    def test_is_deleted_is_disconnected(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(ann)
        ann.delete()

        assert client.close_reason == REVOKED

    def test_has_a_new_password_is_disconnected(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(ann)
        ann.set_password("another")
        ann.save()

        assert client.close_reason == REVOKED

    def test_has_logged_in_elsewhere_is_not_verified(self, connect: Connect, room: Room) -> None:
        ann = make_user()
        connect(ann)
        browser_of(ann)

        assert room.asked == 1

    def test_is_saved_without_a_change_keeps_everything(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(ann)
        ann.first_name = "Ann"
        ann.save()

        assert client.connected
        assert client.received == []


class TestPermissions:
    @pytest.fixture
    def registry(self) -> Registry:
        return guarded_by_permission()

    @pytest.fixture
    def permission(self) -> Any:
        return make_permission()

    def test_of_a_user_that_are_taken_away_end_the_connection(
        self, connect: Connect, permission: Any
    ) -> None:
        ann = make_user()
        ann.user_permissions.add(permission)
        client = connect(ann)
        ann.user_permissions.clear()

        assert client.close_reason == REVOKED

    @pytest.mark.parametrize("change", ["leave", "clear", "permissions", "delete"])
    def test_of_a_group_do_so_too(self, connect: Connect, permission: Any, change: str) -> None:
        from django.contrib.auth.models import Group

        group = Group.objects.create(name="staff")
        group.permissions.add(permission)
        ann = make_user()
        ann.groups.add(group)
        members: Any = group.user_set  # type: ignore[attr-defined]
        client = connect(ann)
        if change == "leave":
            members.remove(ann)
        elif change == "clear":
            members.clear()
        elif change == "permissions":
            group.permissions.clear()
        else:
            group.delete()

        assert client.close_reason == REVOKED

    def test_of_a_group_are_asked_for_again_only_from_its_members(
        self, connect: Connect, permission: Any
    ) -> None:
        from django.contrib.auth.models import Group

        asked: list[str] = []

        def note(request: Any, socket: Any, context: Any, channel: str) -> bool:
            asked.append(request.user.username)
            return True

        registry = Registry()
        registry.authorize(note)
        group = Group.objects.create(name="staff")
        ann, bob = make_user(), make_user("bob")
        ann.groups.add(group)
        with (
            SocketIOClient(user=ann, registry=registry) as member,
            SocketIOClient(user=bob, registry=registry) as other,
        ):
            for client in (member, other):
                client.subscribe("room")
            member.clock.advance(60)
            asked.clear()
            group.permissions.add(permission)

            assert asked == ["ann"]

    @override_settings(SOCKETIO_RECHECK_INTERVAL=0)
    def test_of_a_group_end_the_connection_where_there_is_no_interval(
        self, connect: Connect, permission: Any
    ) -> None:
        from django.contrib.auth.models import Group

        group = Group.objects.create(name="staff")
        group.permissions.add(permission)
        ann = make_user()
        ann.groups.add(group)
        client = connect(ann)
        group.permissions.remove(permission)

        assert client.close_reason == REVOKED

    def test_that_are_deleted_end_the_connection(self, connect: Connect, permission: Any) -> None:
        ann = make_user()
        ann.user_permissions.add(permission)
        client = connect(ann)
        permission.delete()

        assert client.close_reason == REVOKED


class TestAModelOfUsersOfTheProjectsOwn:
    @pytest.mark.parametrize("name", ["groups", "session_key"], ids=["no field", "no members"])
    def test_need_not_have_groups(self, name: str) -> None:
        from django.contrib.sessions.models import Session

        assert members_field(Session, name) is None


class TestProxyModels:
    """Each sends the signals under its own name."""

    @pytest.fixture(autouse=True)
    def _people(self) -> Iterator[None]:
        apps = [*WITH_SESSIONS["INSTALLED_APPS"], "tests.support.people"]
        with override_settings(INSTALLED_APPS=apps):
            yield

    @pytest.mark.parametrize("change", ["block", "delete"])
    def test_of_users_tell_of_them(self, connect: Connect, change: str) -> None:
        from tests.support.people.models import Customer

        client = connect(make_user())
        customer = Customer.objects.get()
        if change == "delete":
            customer.delete()
        else:
            customer.is_active = False
            customer.save()

        assert client.close_reason == REVOKED

    def test_of_groups_do_so_too(self) -> None:
        from tests.support.people.models import Team

        team = Team.objects.create(name="staff")
        team.permissions.add(make_permission())
        ann = make_user()
        ann.groups.add(team)
        with SocketIOClient(user=ann, registry=guarded_by_permission()) as client:
            team.delete()

            assert client.close_reason == REVOKED
