"""The site of the tries: workers of gunicorn, and a Redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.support.redis import RedisServer
from tests.support.server import Configuration, Server, under_gunicorn


class Site(NamedTuple):
    """What runs."""

    server: Server
    redis: RedisServer


@contextmanager
def site(workers: int) -> Iterator[Site]:
    """Run the site."""
    redis = RedisServer()
    with TemporaryDirectory() as folder:
        configuration = Configuration(
            Path(folder),
            # Clients seldom POST, and open no new connection where the server has closed one.
            gunicorn=under_gunicorn("--workers", str(workers), "--keep-alive", "75"),
            settings={
                "SOCKETIO_BROKER_URL": redis.url,
                "SOCKETIO_EVENTS": ["tests.scale.handlers"],
                "SOCKETIO_MESSAGE_LOG_FORMAT": None,
            },
        )
        server = Server(configuration)
        try:
            yield Site(server, redis)
        finally:
            server.kill()
            redis.stop()
