"""The database of a test, which its handlers work in."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client, TestCase, override_settings
from pytest_django.fixtures import DjangoAssertNumQueries

import socketio_server
from socketio_server.events import Registry
from socketio_server.testing import SocketIOClient
from tests.support.users import WITH_USERS, create_users_table


@pytest.mark.django_db
class TestTheDatabase:
    """Handlers work in the test's own transaction, on its own connection."""

    @pytest.fixture(autouse=True)
    def _users(self) -> Iterator[None]:
        with override_settings(**WITH_USERS):
            create_users_table()
            yield

    def test_handlers_see_what_the_test_wrote_and_the_test_what_they_wrote(
        self, registry: Registry
    ) -> None:
        from django.contrib.auth.models import User

        @registry.on("rename")
        def rename(request: Any, socket: Any, context: Any, name: str) -> int:
            return User.objects.filter(username="ann").update(username=name)

        User.objects.create(username="ann")
        with SocketIOClient(registry=registry) as client:
            assert client.call("rename", "anne") == 1

        assert User.objects.get().username == "anne"

    def test_the_user_is_logged_in(self, registry: Registry) -> None:
        from django.contrib.auth.models import User

        @registry.on("who am I?")
        def name(request: Any, socket: Any, context: Any) -> str:
            username: str = request.user.username
            return username

        ann = User.objects.create(username="ann")
        with (
            SocketIOClient(registry=registry, user=ann) as client,
            SocketIOClient(registry=registry) as stranger,
        ):
            assert client.call("who am I?") == "ann"
            assert stranger.call("who am I?") == ""

    def test_a_client_that_is_given_is_logged_in_too(self, registry: Registry) -> None:
        from django.contrib.auth.models import User

        http = Client()
        with SocketIOClient(
            registry=registry, client=http, user=User.objects.create(username="ann")
        ):
            assert "_auth_user_id" in http.session

    def test_queries_can_be_counted(
        self, registry: Registry, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        from django.contrib.auth.models import User

        @registry.on("count")
        def count(request: Any, socket: Any, context: Any) -> int:
            return User.objects.count() + User.objects.filter(is_staff=True).count()

        with SocketIOClient(registry=registry) as client, django_assert_num_queries(2):
            client.call("count")


@override_settings(**WITH_USERS)
class TestInADjangoTestCase(TestCase):
    """``TestCase``, with data for the class and a transaction for each test."""

    registry = Registry()
    ann: Any

    @classmethod
    def setUpTestData(cls) -> None:
        from django.contrib.auth.models import User

        create_users_table()
        cls.ann = User.objects.create(username="ann")

    def setUp(self) -> None:
        self.socket = self.enterContext(SocketIOClient(user=self.ann, registry=self.registry))

    @staticmethod
    @registry.on("promote")
    def promote(request: Any, socket: Any, context: Any) -> None:
        request.user.is_staff = True
        request.user.save()

    def test_what_handlers_write_is_there(self) -> None:
        assert not self.ann.is_staff
        self.socket.call("promote")
        self.ann.refresh_from_db()
        assert self.ann.is_staff

    def test_what_handlers_write_is_rolled_back_after_each_test(self) -> None:
        self.test_what_handlers_write_is_there()


class TestWhatWaitsForTheCommit(TestCase):
    """``captureOnCommitCallbacks``, because a ``TestCase``'s own transaction is never committed."""

    registry = Registry()

    @staticmethod
    @registry.on_message
    def message(request: Any, socket: Any, context: Any, message: Any) -> str:
        socket.send(message)
        socketio_server.broadcast(message, on_commit=True)
        return "stored"

    def test_arrives_when_the_callbacks_run(self) -> None:
        client = self.enterContext(SocketIOClient(registry=self.registry))
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            assert client.call("message", "hi") == "stored"
            client.assert_received("hi")  # what the socket sent
        client.assert_received("hi")  # what was broadcast
        assert len(callbacks) == 1

    @override_settings(SOCKETIO_ON_COMMIT=True)
    def test_with_the_setting_it_is_all_that_handlers_send(self) -> None:
        client = self.enterContext(SocketIOClient(registry=self.registry))
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            assert client.call("message", "hi") == "stored"
            client.assert_received_nothing()
        client.assert_received("hi", "hi")
        assert len(callbacks) == 2

    @override_settings(SOCKETIO_ON_COMMIT=True)
    def test_never_arrives_without_them(self) -> None:
        client = self.enterContext(SocketIOClient(registry=self.registry))
        client.send("hi")
        client.assert_received_nothing()

    def test_is_named_where_it_is_missed(self) -> None:
        client = self.enterContext(SocketIOClient(registry=self.registry))
        with self.captureOnCommitCallbacks(execute=True):
            client.send("sent")
        client.assert_received("sent", "sent")
        client.send("hi")
        with pytest.raises(AssertionError, match=r"that wait for the commit: 1\. captureOn"):
            client.assert_received("hi", "hi")
