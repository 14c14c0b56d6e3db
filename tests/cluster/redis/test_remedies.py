"""What the log says to do about what Redis refuses."""

import pytest
from redis import AuthenticationError, ConnectionError, ResponseError
from redis.exceptions import NoPermissionError

from socketio_server.cluster.redis.remedies import (
    MAX_TEXT,
    explain_command,
    explain_fault,
    explain_permission,
    text_of,
)

URL = "redis://user:secret@one/0"


class TestPasswords:
    @pytest.mark.parametrize(
        "error",
        [AuthenticationError("invalid username-password pair."), ResponseError("PING: NOAUTH no.")],
    )
    def test_that_are_wrong_or_missing_are_told_with_the_setting(self, error: Exception) -> None:
        reason = str(error).rstrip(".")
        assert explain_fault(error, URL) == (
            f"{reason} (SOCKETIO_BROKER_URL is redis://user:***@one/0: correct its user and "
            "password)"
        )

    @pytest.mark.parametrize(
        ("url", "shown"),
        [("redis://secret@one/0", "redis://***@one/0"), ("redis://one/0", "redis://one/0")],
    )
    def test_without_a_colon_before_them_are_told_how_to_write_them(
        self, url: str, shown: str
    ) -> None:
        assert explain_fault(AuthenticationError("no."), url) == (
            f"no (SOCKETIO_BROKER_URL is {shown}: correct its user and password; a password "
            "without a user is written redis://:password@host)"
        )

    def test_are_not_spoken_of_where_they_are_not_the_cause(self) -> None:
        assert explain_fault(ConnectionError("Connection refused."), URL) == "Connection refused"

    def test_a_long_error_is_cut(self) -> None:
        assert explain_fault(ConnectionError("x" * 2000), URL) == "x" * MAX_TEXT


class TestWhatRedisHasSent:
    """It may be anything."""

    def test_is_cut_and_what_is_not_printable_escaped(self) -> None:
        text = "ERR \x1b[31m\n\u202e'Größe' " + "x" * 100_000
        shown = "ERR \\x1b[31m\\n\\u202e'Größe' "
        assert text_of(ResponseError(text)).rstrip("x") == shown
        assert len(text_of(ResponseError(text))) < 2 * MAX_TEXT

    @pytest.mark.parametrize(
        "told",
        [
            explain_fault(ConnectionError("\n" * 1000), URL),
            explain_permission(ResponseError("\n" * 1000), "+a"),
            str(explain_command(ResponseError("\n" * 1000), b"A")).removeprefix("A: "),
        ],
        ids=["fault", "permission", "command"],
    )
    def test_is_so_in_all_that_is_logged(self, told: str) -> None:
        assert told == "\\n" * MAX_TEXT


class TestTLS:
    @pytest.mark.parametrize(
        "why",
        ["Timeout connecting to server", "[SSL: WRONG_VERSION_NUMBER] wrong version number"],
    )
    def test_is_asked_about_where_nothing_answers_it(self, why: str) -> None:
        assert explain_fault(ConnectionError(why), "rediss://one/0") == (
            f"{why} (the URL asks for TLS; does this Redis speak it?)"
        )

    @pytest.mark.parametrize(
        ("why", "url"),
        [
            ("Timeout connecting to server", "redis://one/0"),
            ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", "rediss://one/0"),
        ],
    )
    def test_is_not_spoken_of_where_it_is_not_the_cause(self, why: str, url: str) -> None:
        assert explain_fault(ConnectionError(why), url) == why


class TestAccessRules:
    @pytest.mark.parametrize(
        "error", [NoPermissionError("no permissions"), ResponseError("NOPERM no permissions")]
    )
    def test_that_are_missing_are_named(self, error: ResponseError) -> None:
        assert explain_permission(error, "+a &b") == (
            f"{error}. Its user needs the access rules +a &b"
        )

    def test_are_not_spoken_of_where_they_are_not_the_cause(self) -> None:
        assert explain_permission(ResponseError("ERR unknown"), "+a") == "ERR unknown"

    def test_are_those_of_the_command_and_its_channels(self) -> None:
        error = explain_command(ResponseError("NOPERM no"), b"PUBLISH", b"a", b"a*")
        assert str(error) == "PUBLISH 'a': NOPERM no. Its user needs the access rules +publish &a*"

    def test_of_a_command_without_a_channel_name_none(self) -> None:
        error = explain_command(ResponseError("NOPERM no"), b"PING")
        assert str(error) == "PING: NOPERM no. Its user needs the access rules +ping"
