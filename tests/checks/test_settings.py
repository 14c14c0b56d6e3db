"""System checks: settings."""

import pytest
from django.core import checks as django_checks
from django.test import override_settings

from tests.checks.run import ids, run


class TestAProjectThatIsWellSetUp:
    def test_has_nothing_to_be_said_about(self) -> None:
        assert run() == []


class TestSettings:
    """E001."""

    @override_settings(SOCKETIO_PING_INTERVAL="soon", SOCKETIO_PORT=-1)
    def test_each_bad_one_is_an_error_of_its_own(self) -> None:
        messages = run()

        assert [message.id for message in messages] == ["socketio_server.E001"] * 2
        assert all(message.is_serious() for message in messages)
        assert messages[0].msg == "SOCKETIO_PORT must be a port number from 0 to 65535, not -1."
        assert messages[1].msg.startswith("SOCKETIO_PING_INTERVAL must be a number of seconds")

    @override_settings(SOCKETIO_PNIG_INTERVAL=25)
    def test_one_that_does_not_exist_is_an_error(self) -> None:
        (message,) = run()

        assert message.id == "socketio_server.E001"
        assert "SOCKETIO_PNIG_INTERVAL" in message.msg
        assert message.hint == 'The page "Settings" of the documentation describes all of them.'

    @pytest.mark.parametrize("proxy", ["nginx", "192.0.2", "", "192.0.2.1:80", "2001:db8::g"])
    def test_a_proxy_without_an_ip_address_is_an_error_that_says_what_to_write(
        self, proxy: str
    ) -> None:
        with override_settings(SOCKETIO_TRUSTED_PROXIES=["192.0.2.1", proxy]):
            (message,) = run()

        assert message.id == "socketio_server.E001"
        assert message.msg == (
            f"SOCKETIO_TRUSTED_PROXIES has {proxy!r}, which is no IP address: write one as "
            '"192.0.2.80", or a network as "192.0.2.0/24"; names of hosts are not looked up, '
            "because their addresses may change."
        )

    @override_settings(SOCKETIO_TRUSTED_PROXIES=["192.0.2.1/24"])
    def test_an_address_with_a_networks_length_is_an_error_that_names_the_network(self) -> None:
        (message,) = run()

        assert message.id == "socketio_server.E001"
        assert message.msg == (
            "SOCKETIO_TRUSTED_PROXIES has '192.0.2.1/24', which is an address and a network: "
            'write "192.0.2.0/24" for all of the network.'
        )

    @pytest.mark.parametrize(
        "name", ["HOST", "PORT", "EVENTS", "TRANSPORTS", "ALLOWED_ORIGINS", "MAX_PAYLOAD"]
    )
    def test_a_bad_one_keeps_no_other_check_from_running(self, name: str) -> None:
        """``manage.py check`` shows messages, never a traceback."""
        with override_settings(**{f"SOCKETIO_{name}": object()}):
            assert ids() == ["socketio_server.E001"]


class TestLimits:
    """W013."""

    @pytest.mark.parametrize(
        ("total", "single", "least"),
        [
            ("SOCKETIO_MAX_PENDING_TOTAL", "SOCKETIO_MAX_PAYLOAD", 67_108_864),
            ("SOCKETIO_MAX_QUEUED_TOTAL", "SOCKETIO_MAX_QUEUED_BYTES", 80_000_000),
        ],
    )
    def test_one_of_all_clients_below_that_of_one_is_a_warning_that_names_both(
        self, total: str, single: str, least: int
    ) -> None:
        with override_settings(**{single: least + 1}):
            (message,) = run()

        assert message.id == "socketio_server.W013"
        assert not message.is_serious(django_checks.ERROR)
        assert message.msg.startswith(f"{total} ({least}) is less than {single} ({least + 1}): ")
        assert message.hint
        assert total in message.hint
        with override_settings(**{single: least}):
            assert run() == []


def no_middleware() -> None:
    """What takes no next one, and returns none."""


class TestMiddleware:
    """E004."""

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("no_such_module.Timing", "No module named 'no_such_module'"),
            ("tests.checks.test_settings.Timing", 'does not define a "Timing"'),
            ("tests.checks.test_settings.__name__", "is not callable"),
        ],
    )
    def test_one_that_can_not_be_had_is_an_error_that_names_it(self, path: str, why: str) -> None:
        with override_settings(SOCKETIO_MIDDLEWARE=[path]):
            (message,) = run()

        assert message.id == "socketio_server.E004"
        assert message.is_serious()
        assert message.msg.startswith(f"SOCKETIO_MIDDLEWARE names {path!r}, which ")
        assert why in message.msg

    @override_settings(SOCKETIO_MIDDLEWARE=["tests.checks.test_settings.no_middleware"])
    def test_one_that_is_there_is_none(self) -> None:
        assert run() == []

    @override_settings(SOCKETIO_MIDDLEWARE=["middleware"])
    def test_what_is_no_path_is_left_to_the_settings_own_check(self) -> None:
        assert ids() == ["socketio_server.E001"]


class TestDebug:
    """W003."""

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "www.example.com"])
    def test_where_others_can_reach_it_is_a_warning(self, host: str) -> None:
        with override_settings(DEBUG=True, SOCKETIO_HOST=host):
            (message,) = run()

        assert message.id == "socketio_server.W003"
        assert not message.is_serious(django_checks.ERROR)
        assert host in message.msg

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
    def test_on_this_machine_is_none(self, host: str) -> None:
        with override_settings(DEBUG=True, SOCKETIO_HOST=host):
            assert run() == []

    def test_turned_off_is_none(self) -> None:
        with override_settings(DEBUG=False, SOCKETIO_HOST="0.0.0.0"):
            assert run() == []
