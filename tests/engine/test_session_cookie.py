"""A polling session and the browser that it belongs to."""

import pytest

from socketio_server.engine.session_cookie import MAX_COOKIES, Binding, cookies_of

OWN, FOREIGN = "socketio-1=own", "socketio-2=foreign"


class TestAHandshakeWithACookie:
    def test_binds_the_session_to_it(self) -> None:
        binding = Binding(OWN)
        assert binding.admits([OWN])
        assert not binding.admits([FOREIGN])
        assert not binding.admits([])

    def test_binds_it_for_good(self) -> None:
        binding = Binding(OWN)
        for stranger in ([FOREIGN], [], [""], [OWN + " "], [OWN.upper()], [OWN[:-1]], ["own"]):
            assert not binding.admits(stranger)
        assert binding.admits([OWN])

    def test_does_not_mind_others_beside_it(self) -> None:
        assert Binding(OWN).admits([FOREIGN, OWN])


class TestAHandshakeThatGetsACookie:
    def test_binds_the_session_to_it_once_it_was_carried(self) -> None:
        binding = Binding(OWN, is_new=True)
        assert binding.admits([OWN])
        assert binding.admits([OWN])
        assert not binding.admits([FOREIGN])
        assert not binding.admits([])

    def test_binds_the_session_by_its_first_request(self) -> None:
        binding = Binding(OWN, is_new=True)
        assert binding.admits([OWN])
        assert not binding.admits([])

    def test_binds_it_to_no_other(self) -> None:
        binding = Binding(OWN, is_new=True)
        assert not binding.admits([FOREIGN])
        assert binding.admits([OWN])

    def test_binds_it_to_nothing_where_the_next_request_has_none(self) -> None:
        binding = Binding(OWN, is_new=True)
        for cookies in ([], [], [FOREIGN], []):
            assert binding.admits(cookies)


@pytest.mark.parametrize("cookie", ["\xff", "\U0001f600", "a=b", "x" * 10_000], ids=ascii)
class TestOddCookies:
    def test_are_compared_like_others(self, cookie: str) -> None:
        binding = Binding(cookie)
        assert binding.admits([cookie])
        assert not binding.admits([OWN])

    def test_do_not_open_other_sessions(self, cookie: str) -> None:
        assert not Binding(OWN).admits([cookie])


class TestAHeader:
    @pytest.mark.parametrize(
        ("header", "cookies"),
        [
            ("", []),
            ("socketio-1=abc", ["socketio-1=abc"]),
            ("a=1; socketio-1=abc", ["socketio-1=abc"]),
            ("a=1;socketio-1=abc;b=2", ["socketio-1=abc"]),
            ("socketio-1=a=b", ["socketio-1=a=b"]),
            ("socketio-1=a; b=c; socketio-2=d", ["socketio-1=a", "socketio-2=d"]),
            ("socketio-1=a; socketio-1=b", ["socketio-1=a", "socketio-1=b"]),
            ("socketio=abc; socketio2=abc; xsocketio-1=abc; Socketio-1=abc", []),
        ],
    )
    def test_has_cookies_of_ours_and_others(self, header: str, cookies: list[str]) -> None:
        assert cookies_of(header, "socketio") == cookies

    def test_may_have_far_more_cookies_than_browsers_keep(self) -> None:
        """To read all of very many takes long."""
        others = "a; " * (MAX_COOKIES - 1)
        assert cookies_of(f"{others}socketio-1=a", "socketio") == ["socketio-1=a"]
        assert cookies_of(f"socketio-1=a; {others}b; socketio-2=b", "socketio") == ["socketio-1=a"]
