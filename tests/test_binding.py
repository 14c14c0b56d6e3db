"""A polling session and the browser that it belongs to (security, rule 2)."""

import pytest

from socketio_server.binding import Binding

OWN, FOREIGN = "own-cookie", "foreign-cookie"


class TestAHandshakeWithACookie:
    def test_binds_the_session_to_it(self) -> None:
        binding = Binding(OWN)
        assert binding.admits(OWN)
        assert not binding.admits(FOREIGN)
        assert not binding.admits(None)

    def test_binds_it_for_good(self) -> None:
        binding = Binding(OWN)
        for stranger in (FOREIGN, None, "", OWN + " ", OWN.upper(), OWN[:-1]):
            assert not binding.admits(stranger)
        assert binding.admits(OWN)

    def test_binds_it_even_to_an_empty_one(self) -> None:
        binding = Binding("")
        assert binding.admits("")
        assert not binding.admits(None)
        assert not binding.admits(FOREIGN)


class TestAHandshakeWithoutACookie:
    def test_binds_the_session_to_the_cookie_of_the_next_request(self) -> None:
        binding = Binding(None)
        assert binding.admits(OWN)
        assert binding.admits(OWN)
        assert not binding.admits(FOREIGN)
        assert not binding.admits(None)

    def test_binds_it_to_nothing_where_the_next_request_has_none_either(self) -> None:
        binding = Binding(None)
        for cookie in (None, None, FOREIGN, None):
            assert binding.admits(cookie)


@pytest.mark.parametrize("cookie", ["ÿ", "😀", "a=b", "x" * 10_000], ids=ascii)
class TestOddCookies:
    def test_are_compared_like_others(self, cookie: str) -> None:
        binding = Binding(cookie)
        assert binding.admits(cookie)
        assert not binding.admits(OWN)

    def test_do_not_open_other_sessions(self, cookie: str) -> None:
        assert not Binding(OWN).admits(cookie)
