"""A whole server, put together: what it needs before it starts."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from socketio_server.options import Options
from socketio_server.serving.server import Server


class TestAnUnpatchedProcess:
    def test_runs_no_server_and_is_told_what_to_do(self) -> None:
        with pytest.raises(ImproperlyConfigured) as raised:
            Server(None, ("127.0.0.1", 0), Options())

        said = str(raised.value)
        assert said.startswith("gevent has not patched the standard library: ")
        assert "python manage.py runserver_socketio" in said
        assert "monkey.patch_all()" in said
