"""Which coding an answer is compressed with (RFC 9110 section 12.5.3)."""

import gzip

import pytest

from socketio_server.protocol.http1.compression import choose_coding


class TestGzip:
    @pytest.mark.parametrize(
        "accepted",
        [
            "gzip",
            "GZip",
            "*",
            "gzip, deflate, br",
            "deflate,gzip",
            "br;q=1.0, gzip;q=0.8, *;q=0.1",
            "gzip;q=1",
            "gzip;q=0.001",
            "gzip; q=0.5",
            "gzip ;q=0.5",
            "identity;q=0, gzip",
            "gzip, identity;q=0",
            "deflate;q=0, *",
        ],
    )
    def test_is_for_clients_that_accept_it(self, accepted: str) -> None:
        coding = choose_coding(accepted)
        assert coding is not None
        assert coding.name == "gzip"

    @pytest.mark.parametrize(
        "accepted",
        [
            "",
            "identity",
            "deflate, br",
            "gzip;q=0",
            "gzip;q=0.0",
            "gzip;q=0.000",
            "GZIP;Q=0",
            "gzip; q=0",
            "gzip ; q=0",
            "gzip;q=0, deflate",
            "deflate, gzip;q=0",
            "*;q=0",
            "identity, *;q=0",
            "gzip;q=0, *",
            "*, gzip;q=0",
            "x-gzip-like",
            "gzipped",
            "gzip-2",
            "gzip;q=much",
        ],
    )
    def test_is_not_for_others(self, accepted: str) -> None:
        assert choose_coding(accepted) is None

    def test_is_not_for_those_who_accept_very_many_codings(self) -> None:
        """To read them takes long."""
        assert choose_coding("gzip, " + "a, " * 300) is not None
        assert choose_coding("gzip, " + "a, " * 400) is None

    def test_leaves_no_trace_of_time(self) -> None:
        """Else equal answers would differ."""
        coding = choose_coding("gzip")
        assert coding is not None
        coded = coding.compress(b"x" * 1000)
        assert coded[4:8] == bytes(4)  # the modification time (RFC 1952 section 2.3.1)
        assert gzip.decompress(coded) == b"x" * 1000
