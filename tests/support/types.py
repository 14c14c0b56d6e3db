"""What the fixtures give to tests."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tests.support.client import Client
from tests.support.server import Configuration, Server
from tests.support.wire import TransportName


class StartServer(Protocol):
    """Starts a server; the parameters are those of ``Configuration``.

    :param events: the modules with handlers; by default all of ``tests.project.handlers``.
    """

    def __call__(
        self,
        *,
        arguments: Sequence[str] = ...,
        settings: Mapping[str, Any] | None = None,
        events: str | Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        manage: Path = ...,
        cwd: Path | None = None,
        folder: Path | None = None,
        gunicorn: Sequence[str] | None = None,
    ) -> Server: ...


MakeConfiguration = Callable[..., Configuration]


class Connect(Protocol):
    """Connects a client.

    :param to: the server; by default the one of all tests.
    :param receive_buffer: bytes that the kernel may keep for a client that does not read.
    :param join: whether to join the main namespace, too.
    """

    def __call__(
        self,
        transport: TransportName = "websocket",
        *,
        to: Server | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Any = None,
        receive_buffer: int | None = None,
        join: bool = True,
    ) -> Client: ...
