"""What a handler must take, which is looked at when it is registered."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial, wraps
from typing import Any

import pytest

from socketio_server.exceptions import EventError
from socketio_server.registry.events import (
    Registry,
)
from tests.registry.steps import event, selected


class TestSignatures:
    """A handler must take what its event gives it, and run when it is called."""

    @pytest.mark.parametrize(
        ("name", "function"),
        [
            ("on_connect", lambda request, socket, context: None),
            ("on_connect", lambda request, socket, context, more=1: None),
            ("on_connect", lambda request, *args: None),
            ("on_connect", lambda request, socket, context, *, more=1: None),
            ("on_message", lambda request, socket, context, message: None),
            ("on_message", lambda *args, **kwargs: None),
            ("on_message", lambda request, socket, context, message, /: None),
            ("on_message", partial(lambda extra, r, s, c, message: None, 1)),
        ],
    )
    def test_what_fits_is_taken(
        self, registry: Registry, name: str, function: Callable[..., object]
    ) -> None:
        assert event(registry, name)(function) is function

    @pytest.mark.parametrize(
        ("name", "function", "takes"),
        [
            ("on_connect", lambda: None, "takes 0 arguments, but is called with 3"),
            ("on_connect", lambda r, s, c, message: None, "takes 4 arguments"),
            ("on_message", lambda r, s, c: None, "4: request, socket, context, message"),
            ("on_message", lambda self, r, s, c, m: None, "takes 5 arguments"),
            ("on_subscribe", lambda r, s, c: None, "4: request, socket, context, channel"),
            ("on_error", lambda r, s, c: None, "4: request, socket, context, exception"),
            ("on_finish", lambda r, s, c, reason: None, "3: request, socket, context"),
            ("on_connect", lambda r, s, c, *, user: None, "needs 'user' by keyword"),
        ],
    )
    def test_what_does_not_is_refused_with_its_file_and_line(
        self, registry: Registry, name: str, function: Any, takes: str
    ) -> None:
        line = function.__code__.co_firstlineno
        with pytest.raises(EventError) as raised:
            event(registry, name)(function)

        text = str(raised.value)
        assert text.startswith(f"The {name} handler `")
        assert f"({__file__}:{line})" in text
        assert takes in text

    def test_a_custom_event_s_takes_three_and_what_the_client_sends(
        self, registry: Registry
    ) -> None:
        for function in (
            lambda r, s, c: None,
            lambda r, s, c, one, two: None,
            lambda r, s, c, one=1, *rest: None,
        ):
            registry.on("news")(function)
        with pytest.raises(EventError, match=r"takes 2 arguments, but is called with 3 and more"):
            registry.on("news")(lambda request, socket: None)

    def test_of_a_decorated_function_the_decorator_s_own_counts(self, registry: Registry) -> None:
        """It may add arguments."""

        def with_user(function: Callable[..., None]) -> Callable[..., None]:
            @wraps(function)
            def wrapper(request: object, *args: object) -> None:
                function(request, *args, "user")

            return wrapper

        @registry.on_connect
        @with_user
        def connect(request: object, socket: object, context: object, user: object) -> None: ...

        assert selected(registry.on_connect) == [connect]

    def test_async_functions_are_refused(self, registry: Registry) -> None:
        async def coroutine(*args: object) -> None: ...

        async def generator(*args: object) -> AsyncIterator[None]:
            yield

        class Callable_:
            async def __call__(self, *args: object) -> None: ...

        message = r"is async def; its code would never run: make it a plain function.*async_to_sync"
        for function in (coroutine, generator, partial(coroutine), Callable_()):
            with pytest.raises(EventError, match=message):
                registry.on_message(function)

    def test_generators_are_refused(self, registry: Registry) -> None:
        def generator(*args: object) -> Iterator[None]:
            yield

        with pytest.raises(
            EventError, match=r"generator` \(.*is a generator; its code would never"
        ):
            registry.on_message(generator)

    def test_a_class_may_be_a_handler(self, registry: Registry) -> None:
        class Handler:
            def __init__(self, request: object, socket: object, context: object) -> None: ...

        assert registry.on_connect(Handler) is Handler


class TestNamedGroupsOfAuthorize:
    """An ``authorize`` handler gets the named groups of its pattern by keyword."""

    def test_a_handler_takes_each_as_an_argument_or_by_two_stars(self, registry: Registry) -> None:
        decorator = registry.authorize(channel=r"^(?P<kind>\w+)-(?P<pk>\d+)$")

        @decorator
        def named(
            request: Any, socket: Any, context: Any, channel: str, pk: str, *, kind: str
        ) -> None: ...

        @decorator
        def all_of_them(
            request: Any, socket: Any, context: Any, channel: str, **groups: str
        ) -> None: ...

        assert len(registry.authorize.registrations) == 2

    def test_a_group_that_the_handler_does_not_take_is_an_error(self, registry: Registry) -> None:
        with pytest.raises(EventError, match="'pk', which it does not take by keyword: name an"):

            @registry.authorize(channel=r"^room-(?P<pk>\d+)$")
            def may(request: Any, socket: Any, context: Any, channel: str) -> None: ...

    def test_a_group_with_the_name_of_another_argument_is_an_error(
        self, registry: Registry
    ) -> None:
        with pytest.raises(
            EventError, match="the group 'channel', which is another argument's name"
        ):

            @registry.authorize(channel=r"^(?P<channel>.*)$")
            def may(request: Any, socket: Any, context: Any, channel: str) -> None: ...

    def test_an_argument_that_is_no_group_is_an_error(self, registry: Registry) -> None:
        remedy = re.escape("and the named groups of its channel pattern: name them, (?P<pk>…) say")
        with pytest.raises(EventError, match=f"takes 5 arguments, but is .* 4: .*, {remedy}"):

            @registry.authorize(channel=r"^room-(\d+)$")
            def may(request: Any, socket: Any, context: Any, channel: str, pk: str) -> None: ...

    def test_other_events_handlers_get_no_groups(self, registry: Registry) -> None:
        @registry.on_message(channel=r"^room-(?P<pk>\d+)$")
        def talk(request: Any, socket: Any, context: Any, message: Any) -> None: ...

        assert len(registry.on_message.registrations) == 1
