"""What ``SOCKETIO_MIDDLEWARE`` names, put around every event."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from socketio_server.dispatch.middleware import CallNext, EventCall
from socketio_server.serving.middleware import load_middleware

ORDER: list[str] = []


def outer(call_next: CallNext) -> CallNext:
    """Note that it runs."""

    def run(call: EventCall) -> object:
        ORDER.append("outer")
        return call_next(call)

    return run


def inner(call_next: CallNext) -> CallNext:
    """Note that it runs."""

    def run(call: EventCall) -> object:
        ORDER.append("inner")
        return call_next(call)

    return run


def forgetful(call_next: CallNext) -> None:
    """Return nothing."""


class TestLoading:
    def test_none_is_nothing(self) -> None:
        assert load_middleware([]) is None

    def test_the_first_is_the_outermost(self) -> None:
        ORDER.clear()
        wrapped = load_middleware([f"{__name__}.outer", f"{__name__}.inner"])
        assert wrapped is not None
        wrapped(EventCall("news", None, (), lambda args: None))  # type: ignore[arg-type]

        assert ORDER == ["outer", "inner"]

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("no_such_module.Timing", "can't be imported: No module named"),
            (f"{__name__}.nothing", "can't be imported: Module"),
            (f"{__name__}.ORDER", "is not callable"),
            (f"{__name__}.forgetful", "returned None"),
        ],
    )
    def test_an_error_names_the_setting_and_the_path(self, path: str, why: str) -> None:
        with pytest.raises(ImproperlyConfigured) as raised:
            load_middleware([path])

        assert str(raised.value).startswith(f"SOCKETIO_MIDDLEWARE names {path!r}, which ")
        assert why in str(raised.value)
