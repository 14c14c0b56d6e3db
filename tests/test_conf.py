"""Django's settings as options: each setting with good values and bad ones."""

import dataclasses
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from socketio_server import conf
from socketio_server.options import Options

FIELDS = [field.name for field in dataclasses.fields(Options)]
TIMES = [
    "attachment_timeout",
    "close_timeout",
    "connect_timeout",
    "download_timeout",
    "body_timeout",
    "drain_timeout",
    "head_timeout",
    "keep_alive_timeout",
    "max_time_per_turn",
    "ping_interval",
    "ping_timeout",
    "stall_timeout",
    "max_lag",
    "upgrade_timeout",
]
NUMBERS = [
    "max_attachments",
    "max_connections",
    "max_connections_per_address",
    "max_handshakes_per_address",
    "max_packet_burst",
    "max_packet_rate",
    "max_websocket_pings",
    "max_channel_length",
    "max_channels",
    "max_concurrent_handlers",
    "max_events_per_turn",
    "max_fragments",
    "max_namespaces",
    "max_packets_per_payload",
    "max_payload",
    "max_auth_size",
    "max_handlers_per_client",
    "max_pending_bytes",
    "max_pending_total",
    "max_decoded_total",
    "max_sessions",
    "max_queued_bytes",
    "max_queued_total",
    "high_water",
    "send_buffer",
    "broker_max_queued_bytes",
]

GOOD = [
    ("host", "0.0.0.0"),
    ("host", "::1"),
    ("host", "example.com"),
    ("port", 0),
    ("port", 65_535),
    ("node", ""),
    ("node", "a1"),
    ("message_log_format", None),
    ("message_log_format", "%(MESSAGE)s"),
    ("public_url", None),
    ("public_url", ""),
    ("public_url", "https://live.example.com"),
    ("public_url", "http://[::1]:9000"),
    ("events", None),
    ("events", []),
    ("events", ["mysite.events", "other.events"]),
    ("transports", ["polling"]),
    ("transports", ("websocket",)),
    ("transports", ["websocket", "polling"]),
    ("allowed_origins", []),
    ("allowed_origins", ["https://example.com", "http://localhost:3000"]),
    ("allowed_origins", ("*",)),
    ("allowed_origins", ["null", "file://", "capacitor://localhost"]),
    ("middleware", []),
    ("middleware", ["mysite.socketio.log_events"]),
    ("trusted_proxies", ["10.0.0.1", "::1", "192.0.2.0/24", "2001:db8::/48", "fe80::1%eth0"]),
    ("cookie", "another"),
    ("cookie", None),
    ("subscribe_default", "allow"),
    ("subscribe_default", "deny"),
    ("compression_threshold", None),
    ("compression_threshold", 0),
    ("database_idle_timeout", 0),
    ("recheck_interval", 0),
    ("recheck_interval", 300),
    ("database_idle_timeout", 0.5),
    ("refresh_interval", 0),
    ("refresh_interval", None),
    ("on_commit", True),
    ("per_message_deflate", True),
    ("allow_eio3", True),
    ("broker_url", None),
    ("broker_url", "redis://localhost"),
    ("broker_url", "rediss://user:secret@example.com:6380/1?ssl_cert_reqs=none"),
    ("broker_url", "unix:///run/redis.sock?db=1"),
    ("broker_url", "redis+sentinel://one:26379,two/main/0"),
    ("broker_url", "rediss+sentinel://one/main?sentinel_password=secret"),
    ("broker_prefix", "staging"),
    ("broker_shared_with_node", True),
    ("share_query", True),
    *((name, value) for name in TIMES for value in (0.5, 60)),
    *((name, value) for name in NUMBERS for value in (1, 10_000_000)),
]

BAD: list[tuple[str, Any]] = [
    *(("database_idle_timeout", value) for value in (-1, None, "1", True)),
    *(("recheck_interval", value) for value in (-1, None, "1", True)),
    *(("refresh_interval", value) for value in (-1, "1", True)),
    *(("host", value) for value in ("", None, 127, b"localhost")),
    *(("port", value) for value in (-1, 65_536, "9000", 9000.0, None, True)),
    *(("node", value) for value in (None, 1, "a-b", "a.b", "ä", "a" * 33, "a\n")),
    *(("message_log_format", value) for value in (True, 0, b"%(MESSAGE)s", ["%(MESSAGE)s"])),
    *(("events", value) for value in ("mysite.events", [1], [None], True, 5)),
    *(
        ("transports", value)
        for value in ([], "polling", ["flashsocket"], ["polling", "Websocket"], None, [1])
    ),
    *(("allowed_origins", value) for value in ("https://example.com", "*", None, [None], [1])),
    *(
        ("public_url", value)
        for value in ("live.example.com", "https://a.example/", "wss://a.example", "/", True, 80)
    ),
    *(("middleware", value) for value in ("mysite.socketio.log_events", None, [None], [len])),
    *(("trusted_proxies", value) for value in ("10.0.0.1", None, [None])),
    *(("cookie", value) for value in ("", 1, True, ["socketio"])),
    *(("subscribe_default", value) for value in ("Deny", "", None, True)),
    *(("compression_threshold", value) for value in (-1, 1.5, "1024", True)),
    *(("on_commit", value) for value in (None, 1, "yes")),
    *(("per_message_deflate", value) for value in (None, 1, "yes")),
    *(("allow_eio3", value) for value in (None, 1, "yes")),
    *(("broker_url", value) for value in ("localhost", "http://localhost", "redis://", 1)),
    *(("broker_url", value) for value in ("unix://", "redis://a b", ["redis://localhost"])),
    *(("broker_prefix", value) for value in ("", None, 1)),
    *(("broker_shared_with_node", value) for value in (None, 1, "yes")),
    *(("share_query", value) for value in (None, 1, "yes")),
    *(
        (name, value)
        for name in TIMES
        for value in (0, -1, "25", None, True, float("nan"), float("inf"))
    ),
    *((name, value) for name in NUMBERS for value in (0, -1, 1.5, "10", None, True)),
]

EXPECTED = {
    **dict.fromkeys(TIMES, "a number of seconds above 0"),
    **dict.fromkeys(NUMBERS, "a whole number above 0"),
    "host": "the name or address of a host",
    "port": "a port number from 0 to 65535",
    "node": "a name of up to 32 letters and digits",
    "message_log_format": "a %-format or None",
    "public_url": 'a URL without a path as "https://live.example.com", "" or None',
    "events": "a list of modules' dotted names or None",
    "compression_threshold": "a number of bytes, or None",
    "database_idle_timeout": "a number of seconds, or 0",
    "recheck_interval": "a number of seconds, or 0",
    "refresh_interval": "a number of seconds, 0 or None",
    "cookie": "a cookie's name, or None",
    "subscribe_default": '"allow" or "deny"',
    "on_commit": "True or False",
    "per_message_deflate": "True or False",
    "allow_eio3": "True or False",
    "broker_url": (
        "a URL as redis://host:6379/0, rediss://host:6379/0, unix:///path/to/redis.sock or "
        "redis+sentinel://host:26379/service/0, or None"
    ),
    "broker_prefix": "the beginning of names in Redis",
    "broker_shared_with_node": "True or False",
    "share_query": "True or False",
    "trusted_proxies": 'a list of IP addresses and networks as "192.0.2.0/24"',
    "middleware": "a list of dotted paths",
    "transports": 'a list of "polling", "websocket" or both',
    "allowed_origins": 'a list of origins as "https://example.com", or ["*"]',
}
"""What each setting must be, in words."""


def setting(name: str) -> str:
    return f"SOCKETIO_{name.upper()}"


class TestOptions:
    def test_without_settings_they_are_the_defaults(self) -> None:
        assert conf.options() == Options()

    @pytest.mark.parametrize(("name", "value"), GOOD)
    def test_a_good_setting_is_an_option(self, name: str, value: object) -> None:
        expected: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value}
        with override_settings(**{setting(name): value}):
            assert list(conf.problems()) == []
            assert conf.options() == Options(**expected)

    @pytest.mark.parametrize(("name", "value"), BAD)
    def test_a_bad_one_is_refused_by_name(self, name: str, value: object) -> None:
        with override_settings(**{setting(name): value}):
            (problem,) = conf.problems()
            assert problem.setting == setting(name)
            assert problem.message.startswith("must be ")
            assert repr(value) in problem.message
            with pytest.raises(ImproperlyConfigured, match=f"^{setting(name)} must be "):
                conf.options()

    @pytest.mark.parametrize("name", FIELDS)
    def test_the_message_about_a_bad_one_says_what_it_must_be(self, name: str) -> None:
        with override_settings(**{setting(name): ...}):
            (problem,) = conf.problems()
            assert str(problem) == f"{setting(name)} must be {EXPECTED[name]}, not Ellipsis."

    @override_settings(SOCKETIO_PORT="9000")
    def test_the_message_about_a_number_in_quotes_says_that_it_is_text(self) -> None:
        (problem,) = conf.problems()
        assert problem.message.endswith(", not the text '9000'.")

    @override_settings(SOCKETIO_BROKER_URL="http://ann:a/@secret@localhost:6379/0")
    def test_a_url_is_shown_without_its_password(self) -> None:
        (problem,) = conf.problems()
        assert problem.message.endswith(", not the text 'http://localhost:6379/0'.")

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("ann:secret@localhost:6379", "ann:localhost:6379"),
            ("reddis:ann:secret@localhost", "reddis:localhost"),
            ("http://localhost?password=secret", "http://localhost?…"),
            ("http://localhost?password=se@cret", "http://…"),
            ("http://ann:se?cret@localhost", "http://…"),
            ("redis://ann:se\ncret@localhost", "redis://localhost"),
        ],
    )
    def test_what_may_be_a_password_is_not_shown_in_a_malformed_url(
        self, url: str, shown: str
    ) -> None:
        with override_settings(SOCKETIO_BROKER_URL=url):
            (problem,) = conf.problems()
        assert f", not the text {shown!r}" in problem.message

    @pytest.mark.parametrize(
        ("url", "remedy"),
        [
            ("reddis://localhost", ": did you mean redis://?"),
            ("redis+sentinnel://one/main", ": did you mean redis+sentinel://?"),
            ("valkey://localhost", ": did you mean redis://?"),
            ('"redis://localhost"', ": its quotes are part of it, take them out."),
            ("redis+cluster://one", ": Redis Cluster and shards are not supported yet, name one "),
            ("redis+sharded://one,two", ": Redis Cluster and shards are not supported yet, name "),
            ("amqp://localhost", "."),
        ],
    )
    def test_the_message_about_an_unknown_scheme_has_a_remedy(self, url: str, remedy: str) -> None:
        with override_settings(SOCKETIO_BROKER_URL=url):
            (problem,) = conf.problems()
        assert f"'{url}'{remedy}" in problem.message

    @pytest.mark.parametrize("url", ["", " ", "\n"])
    def test_an_empty_broker_url_is_none(self, url: str) -> None:
        """As ``os.environ.get("REDIS_URL", "")`` without that variable."""
        with override_settings(SOCKETIO_BROKER_URL=url):
            assert list(conf.problems()) == []
            assert conf.options().broker_url is None

    def test_settings_are_read_late(self) -> None:
        with override_settings(SOCKETIO_PORT=1234):
            assert conf.options().port == 1234
            with override_settings(SOCKETIO_PORT=4321):
                assert conf.options().port == 4321
            assert conf.options().port == 1234
        assert conf.options().port == 9000

    def test_every_problem_is_told(self) -> None:
        with override_settings(SOCKETIO_PORT="x", SOCKETIO_HOST=1, SOCKETIO_MAX_PAYLOAD=0):
            assert {problem.setting for problem in conf.problems()} == {
                "SOCKETIO_PORT",
                "SOCKETIO_HOST",
                "SOCKETIO_MAX_PAYLOAD",
            }


class TestEveryField:
    @pytest.mark.parametrize("name", FIELDS)
    def test_its_default_is_a_good_setting(self, name: str) -> None:
        with override_settings(**{setting(name): getattr(Options(), name)}):
            assert list(conf.problems()) == []
            assert conf.options() == Options()

    @pytest.mark.parametrize("name", FIELDS)
    def test_it_does_not_take_just_anything(self, name: str) -> None:
        with override_settings(**{setting(name): object()}):
            assert [problem.setting for problem in conf.problems()] == [setting(name)]

    @pytest.mark.parametrize("name", FIELDS)
    def test_the_tables_above_cover_it(self, name: str) -> None:
        assert name in {n for n, _ in GOOD}
        assert name in {n for n, _ in BAD}


class TestUnknownSettings:
    @pytest.mark.parametrize("name", ["SOCKETIO_PING_INTERVALL", "SOCKETIO_", "SOCKETIO_SECRET"])
    def test_one_that_does_not_exist_is_reported(self, name: str) -> None:
        with override_settings(**{name: 1}):
            (problem,) = conf.problems()

        assert problem.setting == name
        assert "not a setting" in problem.message

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            (
                "SOCKETIO_ALOWED_ORIGIN",
                "SOCKETIO_ALOWED_ORIGIN is not a setting of socketio_server: did you mean "
                "SOCKETIO_ALLOWED_ORIGINS?",
            ),
            ("SOCKETIO_FOO", "SOCKETIO_FOO is not a setting of socketio_server."),
        ],
    )
    def test_the_nearest_name_is_suggested_if_there_is_one(self, name: str, text: str) -> None:
        with override_settings(**{name: 1}):
            assert [str(problem) for problem in conf.problems()] == [text]

    @pytest.mark.parametrize("name", ["SOCKET_IO_PORT", "MY_SOCKETIO_PORT"])
    def test_those_of_others_are_their_own_business(self, name: str) -> None:
        with override_settings(**{name: object()}):
            assert list(conf.problems()) == []


class TestOneOption:
    """What has to be known before the checks can say what is wrong with the rest."""

    @override_settings(SOCKETIO_EVENTS=["a.events"], SOCKETIO_HOST="nonsense", SOCKETIO_PORT="x")
    def test_it_can_be_read_whatever_the_other_settings_hold(self) -> None:
        assert conf.option("events") == ("a.events",)
        assert conf.option("ping_interval") == Options().ping_interval

    @pytest.mark.parametrize("name", FIELDS)
    def test_without_a_setting_it_is_the_default(self, name: str) -> None:
        assert conf.option(name) == getattr(Options(), name)

    @override_settings(SOCKETIO_PORT="x")
    def test_its_own_setting_must_make_sense(self) -> None:
        with pytest.raises(ImproperlyConfigured, match=r"^SOCKETIO_PORT must be "):
            conf.option("port")
