"""Who may: the decorators of handlers, named as Django's for views."""

import re
from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404

from socketio_server import events
from socketio_server.decorators import login_required, permission_required, user_passes_test
from socketio_server.events import EventError, Registry
from socketio_server.registry import guards
from socketio_server.registry.events import REGISTRY
from socketio_server.serving.around_events.hooks import DjangoHooks
from tests.fakes.server import FakeClient, FakeServer


class User:
    """Somebody with a name, and with permissions; without a name, nobody."""

    def __init__(self, name: str = "", *perms: str) -> None:
        self.name = name
        self.perms = perms
        self.is_authenticated = bool(name)

    def has_perms(self, perms: tuple[str, ...]) -> bool:
        return set(perms) <= set(self.perms)


ANN, NOBODY = User("ann", "shop.buy"), User()


def run(decorate: Callable[[Any], Any], user: User | SimpleNamespace) -> str:
    """Call a decorated handler; return its result, or why it refused."""

    @decorate
    def handler(request: Any, socket: Any, context: Any) -> str:
        return "ran"

    try:
        return str(handler(SimpleNamespace(user=user, COOKIES={}), None, {}))
    except PermissionDenied as error:
        return str(error)


class TestWhoMayRunAHandler:
    @pytest.mark.parametrize("decorate", [login_required, login_required()])
    def test_login_required_lets_users_run_it(self, decorate: Any) -> None:
        assert run(decorate, ANN) == "ran"
        assert run(decorate, NOBODY) == "Please log in."

    def test_permission_required_lets_those_run_it_that_have_it(self) -> None:
        assert run(permission_required("shop.buy"), ANN) == "ran"
        assert run(permission_required(["shop.buy"]), ANN) == "ran"
        assert run(permission_required("shop.sell"), ANN) == "Permission denied"
        assert run(permission_required(["shop.buy", "shop.sell"]), ANN) == "Permission denied"

    def test_user_passes_test_lets_those_run_it_that_pass(self) -> None:
        assert run(user_passes_test(lambda user: user.name == "ann"), ANN) == "ran"
        assert run(user_passes_test(lambda user: False), ANN) == "Permission denied"
        assert run(user_passes_test(lambda user: None, "Not today."), ANN) == "Not today."

    def test_user_passes_test_takes_what_else_a_project_has_for_users(self) -> None:
        device = SimpleNamespace(active=False)

        assert run(user_passes_test(lambda device: device.active), device) == "Permission denied"

    def test_of_several_decorators_all_must_let_pass(self) -> None:
        both = [login_required, permission_required("shop.sell")]

        assert run(lambda handler: both[0](both[1](handler)), NOBODY) == "Please log in."
        assert run(lambda handler: both[0](both[1](handler)), ANN) == "Permission denied"


class TestADecoratedHandler:
    @pytest.fixture
    def registry(self) -> Registry:
        return Registry()

    def test_keeps_its_name_its_place_and_the_types_of_its_messages(
        self, registry: Registry
    ) -> None:
        @registry.on_message
        @login_required
        def talk(request: Any, socket: Any, context: Any, message: Any) -> None:
            """Talk."""

        assert (talk.__name__, talk.__doc__) == ("talk", "Talk.")
        with pytest.raises(EventError, match=re.escape(f"talk` ({__file__}:")):
            registry.on_subscribe(channel="(")(talk)

    def test_is_checked_as_if_it_had_none(self, registry: Registry) -> None:
        with pytest.raises(EventError, match="takes 2 arguments"):

            @registry.on_connect
            @login_required
            def connect(request: Any, socket: Any) -> None: ...

        with pytest.raises(EventError, match="async def"):

            @registry.on_message
            @login_required
            async def talk(request: Any, socket: Any, context: Any, message: Any) -> None: ...

    def test_takes_the_groups_of_its_pattern(self, registry: Registry) -> None:
        @registry.authorize(channel=r"^room-(?P<pk>\d+)$")
        @login_required
        def may(request: Any, socket: Any, context: Any, channel: str, pk: str) -> str:
            return pk

        bound = registry.authorize.registrations[0].bind("room-7").handler
        assert bound(SimpleNamespace(user=ANN), None, {}, "room-7") == "7"

    def test_tells_its_tests_through_other_decorators(self) -> None:
        @login_required
        @permission_required("shop.buy")
        def inner(request: Any, socket: Any, context: Any) -> None: ...

        @wraps(inner)
        def outer(*args: Any) -> None:
            inner(*args)

        assert len(guards.tests_of(outer)) == 2
        assert guards.tests_of(run) == []

    def test_must_not_be_registered_before_it_is_decorated(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(REGISTRY.on_connect, "registrations", [])
        with pytest.raises(EventError, match="the event's decorator goes above it"):

            @login_required
            @events.on_connect
            def connect(request: Any, socket: Any, context: Any) -> None: ...

    @pytest.mark.parametrize(
        "event", ["on_unsubscribe", "on_error", "on_disconnect", "on_finish", "on_cluster"]
    )
    def test_must_be_one_that_may_refuse(self, registry: Registry, event: str) -> None:
        @login_required
        def handler(*args: Any) -> None: ...

        on = registry.on_cluster("news") if event == "on_cluster" else getattr(registry, event)
        with pytest.raises(EventError, match=r"handler`.*which can refuse nothing there"):
            on(handler)


class TestARefusal:
    """What the log is told besides, with ``DEBUG``."""

    def refuse(self, decorate: Any, user: User, **cookies: str) -> PermissionDenied:
        """Return what a decorated handler raises."""
        (test,) = guards.tests_of(decorate(lambda request, socket, context: None))
        with pytest.raises(PermissionDenied) as caught:
            test(SimpleNamespace(user=user, COOKIES=cookies))
        return caught.value

    def test_names_the_permissions(self) -> None:
        refusal = self.refuse(permission_required(["shop.sell", "shop.buy"]), ANN)

        assert refusal.__notes__ == ["it needs 'shop.sell', 'shop.buy'"]
        assert str(refusal) == "Permission denied"

    def test_of_an_anonymous_client_says_what_its_cookie_lacks(self) -> None:
        (without,) = self.refuse(login_required, NOBODY).__notes__
        (unknown,) = self.refuse(login_required, NOBODY, sessionid="x").__notes__

        assert without.startswith("the request has no cookie 'sessionid': log in on the host")
        assert unknown.startswith("the cookie 'sessionid' names no session of a user: it has ended")

    @pytest.mark.parametrize("absence", [ObjectDoesNotExist("no profile"), Http404("no profile")])
    def test_may_be_because_what_the_test_looks_for_does_not_exist(
        self, absence: Exception
    ) -> None:
        def has_paid(user: User) -> bool:
            raise absence

        refusal = self.refuse(user_passes_test(has_paid, "Not paid."), ANN)

        assert str(refusal) == "Not paid."
        assert refusal.__cause__ is absence


class TestADecoratorThatIsUsedBare:
    def test_wants_its_permission(self) -> None:
        with pytest.raises(EventError, match=r'@permission_required\("app.codename"\).*handler`'):

            @permission_required  # type: ignore[arg-type]
            def handler(request: Any, socket: Any, context: Any) -> None: ...


class TestARefusedClient:
    """It is told why, in the answer to what it did; nothing is logged."""

    @pytest.fixture
    def server(self) -> FakeServer:
        server = FakeServer(hooks=DjangoHooks(None))
        registry = server.registry

        @registry.authorize(channel="^private-")
        @login_required
        def may(request: Any, socket: Any, context: Any, channel: str) -> bool:
            return True

        @registry.on_subscribe(channel="^staff-")
        @permission_required("shop.sell")
        def staff(request: Any, socket: Any, context: Any, channel: str) -> None: ...

        @registry.on_message
        @login_required
        def talk(request: Any, socket: Any, context: Any, message: Any) -> str:
            return "said"

        @registry.on("buy")
        @user_passes_test(lambda user: user.name == "bob", "Bob only.")
        def buy(request: Any, socket: Any, context: Any) -> str:
            return "bought"

        return server

    def connect(self, server: FakeServer, user: User) -> FakeClient:
        client = server.connect()
        client.socket.request = SimpleNamespace(user=user, COOKIES={}, META={})
        return client

    def test_gets_an_error_for_what_it_may_not(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = self.connect(server, NOBODY)
        client.emit("__subscribe__", "private-1", ack_id=1)
        client.emit("__subscribe__", "staff-1", ack_id=2)
        client.emit("message", "hi", ack_id=3)
        client.emit("buy", ack_id=4)

        assert client.received() == [
            '31[{"error":"Please log in."}]',
            '32[{"error":"Permission denied"}]',
            '33[{"error":"Please log in."}]',
            '34[{"error":"Bob only."}]',
        ]
        assert client.socket.channels == []
        assert caplog.records == []

    def test_gets_the_handlers_answers_for_what_it_may(self, server: FakeServer) -> None:
        client = self.connect(server, User("bob", "shop.sell"))
        client.emit("message", "hi", ack_id=1)
        client.emit("buy", ack_id=2)
        client.emit("__subscribe__", "private-1", ack_id=3)
        client.emit("__subscribe__", "staff-1", ack_id=4)

        assert client.received() == ['31["said"]', '32["bought"]', "33[true]", "34[true]"]

    def test_is_not_connected_where_on_connect_is_decorated(self) -> None:
        server = FakeServer(hooks=DjangoHooks(None))

        @server.registry.on_connect
        @user_passes_test(lambda user: False, "Closed.")
        def connect(request: Any, socket: Any, context: Any) -> None: ...

        client = server.open(request=SimpleNamespace(user=NOBODY, COOKIES={}, META={}))
        client.send("0")

        assert client.received() == ['4{"message":"Closed."}']
