"""The tunables: each is documented, has a unit and a default that the documents promise."""

import ast
import dataclasses
import inspect
from itertools import pairwise

import pytest

from socketio_server import options as options_module
from socketio_server.options import DEFAULT_MESSAGE_LOG_FORMAT, Options

FIELDS = [field.name for field in dataclasses.fields(Options)]


def docstrings() -> dict[str, str]:
    """The docstring behind each attribute of ``Options``."""
    tree = ast.parse(inspect.getsource(options_module))
    (body,) = (n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Options")
    return {
        first.target.id: second.value.value
        for first, second in pairwise(body)
        if isinstance(first, ast.AnnAssign)
        and isinstance(first.target, ast.Name)
        and isinstance(second, ast.Expr)
        and isinstance(second.value, ast.Constant)
        and isinstance(second.value.value, str)
    }


class TestDocumentation:
    @pytest.mark.parametrize("name", FIELDS)
    def test_every_option_is_documented_where_it_is_defined(self, name: str) -> None:
        assert docstrings()[name].rstrip().endswith(".")


class TestValues:
    def test_they_do_not_change(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            Options().port = 1  # type: ignore[misc]

    def test_they_are_given_by_name(self) -> None:
        assert all(field.kw_only for field in dataclasses.fields(Options))

    @pytest.mark.parametrize(
        ("name", "default"),
        [
            ("host", "127.0.0.1"),
            ("port", 9000),
            (
                "message_log_format",
                '%(REMOTE_ADDR)s - - [%(TIME)s] "Socket.IO %(TYPE)s: %(MESSAGE)s"',
            ),
            ("ping_interval", 25),
            ("ping_timeout", 20),
            ("max_payload", 1_000_000),
            ("transports", ("polling", "websocket")),
            ("allowed_origins", ()),
            ("connect_timeout", 45),
            ("upgrade_timeout", 10),
            ("close_timeout", 2),
            ("drain_timeout", 10),
            ("stall_timeout", 10),
            ("max_lag", 30),
            ("download_timeout", 300),
            ("max_queued_total", 80_000_000),
            ("max_fragments", 1024),
            ("max_attachments", 10),
            ("max_channels", 256),
            ("max_channel_length", 128),
            ("max_namespaces", 16),
            ("high_water", 262_144),
            ("max_queued_bytes", 16_000_000),
            ("send_buffer", 128 * 1024),
            ("max_connections", 10_000),
            ("max_connections_per_address", 100),
            ("max_handshakes_per_address", 200),
            ("max_packet_rate", 1000),
            ("max_packet_burst", 50_000),
            ("max_websocket_pings", 20),
            ("head_timeout", 10),
            ("body_timeout", 10),
            ("keep_alive_timeout", 5),
            ("per_message_deflate", False),
            ("allow_eio3", False),
            ("trusted_proxies", ()),
            ("max_events_per_turn", 50),
            ("max_time_per_turn", 0.010),
        ],
    )
    def test_the_defaults_are_the_promised_ones(self, name: str, default: object) -> None:
        assert getattr(Options(), name) == default

    def test_a_client_that_is_gone_is_noticed_within_45_seconds(self) -> None:
        assert Options().ping_interval + Options().ping_timeout <= 45

    def test_the_default_format_has_a_name(self) -> None:
        assert Options().message_log_format == DEFAULT_MESSAGE_LOG_FORMAT
