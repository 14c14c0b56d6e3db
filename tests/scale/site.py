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
def site(workers: int, *arguments: str) -> Iterator[Site]:
    """Run the site.

    :param arguments: more of gunicorn's.
    """
    redis = RedisServer()
    with TemporaryDirectory() as folder:
        configuration = Configuration(
            Path(folder),
            gunicorn=under_gunicorn("--workers", str(workers), *arguments),
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
