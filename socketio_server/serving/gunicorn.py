"""Runs the server in a worker process of gunicorn, which manages the processes.

gunicorn listens, forks workers, passes signals on, and replaces workers that end or hang. A worker
serves its sockets with ``Server`` instead of gunicorn's own HTTP code; of gunicorn's settings,
those of processes and sockets count (``docs/how-to/gunicorn.md`` says which of the others do).
"""

import atexit
import dataclasses
import fcntl
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, ClassVar

import gevent
from django.core.exceptions import ImproperlyConfigured
from gevent import monkey, socket
from gevent.event import Event
from gunicorn.arbiter import Arbiter
from gunicorn.config import Keepalive

from socketio_server.net.handover import clean, is_alive
from socketio_server.net.statistics import describe
from socketio_server.options import Options
from socketio_server.registry.events import REGISTRY
from socketio_server.serving.brokers import describe_broker
from socketio_server.serving.server import STOP_OVERHEAD, Server

try:
    from gunicorn.workers.ggevent import GeventWorker
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"socketio_server.gunicorn.Worker needs {error.name}: "
        '`pip install "django-socketio-server[gunicorn]"`.'
    ) from error

HEARTBEAT = 1.0
"""Seconds between two signs of life to gunicorn's arbiter."""

STOP_MARGIN = STOP_OVERHEAD + 1.0
"""Seconds of ``graceful_timeout`` that remain for the end of the server and of the process."""

FOLDER = "SOCKETIO_WORKERS_FOLDER"
"""The environment variable with the folder of the workers' own sockets."""

GOODBYE_SHARE = 0.25
"""The share of ``graceful_timeout`` over which goodbyes are spread: at a reload the workers end
together, and their clients must not all come to the new ones at once."""

SUCCESSORS_SHARE = 0.5
"""The share of ``graceful_timeout`` that a new worker has to load the project: the old ones serve
until then."""

SUCCESSORS_CHECK_INTERVAL = 0.1
"""Seconds between two checks whether new workers have loaded the project."""

FIRST_TIME = 10.0
"""Seconds in which the first worker has found the same mistake in the settings as the others."""

COMING = ".coming"
"""Ends the name of the file that announces a worker, from before its process begins until it
serves; before it stands the number of the process, at first that of the arbiter."""

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]


class ServerWorker(GeventWorker):
    """Serves HTTP and Socket.IO in one of gunicorn's processes."""

    version: ClassVar[str]
    """The version of the package."""

    read_options: Callable[[], Options]
    """Reads the server's options from Django's settings, when the project is loaded."""

    _made: ClassVar[tuple[object, int]] = None, 0
    """gunicorn's settings, and how many workers were made since it has read them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Called by the arbiter, before it forks."""
        super().__init__(*args, **kwargs)
        # The arbiter reads its settings at its start and at a reload, and begins all workers anew.
        made = ServerWorker._made[1] if ServerWorker._made[0] is self.cfg else 0
        ServerWorker._made = self.cfg, made + 1
        self._is_first = made == 0
        self._follows = 0 < made < self.cfg.workers
        self._ended = Event()  # set when it is to end
        self._server: Server | None = None  # in the worker's own process
        self._folder = shared_folder(self.cfg)
        self._announcement: Path | None = None
        if self._folder is not None:
            self._announcement = self._name_announcement()
            with suppress(OSError):  # a full disk must not end the arbiter
                self._announcement.touch()

    def init_process(self) -> None:
        """Begin in the worker's own process: what handlers start does not inherit the folder."""
        os.environ.pop(FOLDER, None)
        if self._announcement is not None:
            with suppress(OSError):  # somebody has removed it
                self._announcement = self._announcement.rename(self._name_announcement())
        super().init_process()

    def _name_announcement(self) -> Path:
        assert self._folder is not None
        return Path(self._folder, f"{self.age}-{os.getpid()}{COMING}")

    def patch(self) -> None:
        """Patch what the arbiter must have unpatched, and take gunicorn's sockets.

        gunicorn's own worker would patch everything once more, and trip over what is imported.
        """
        monkey.patch_os()
        monkey.patch_signal()
        given: Any = self.sockets  # gunicorn's own objects, whatever the stubs say
        self.sockets = [
            socket.socket(each.FAMILY, socket.SOCK_STREAM, fileno=each.sock.detach())
            for each in given
        ]

    def load_wsgi(self) -> None:
        """Load the project, and build its server; what fails here ends gunicorn, too: a mistake in
        the settings with one line of the first worker, and without a traceback.
        """
        try:
            super().load_wsgi()
            self._server = self._make_server()
        except ImproperlyConfigured as error:
            if self._follows and self._ended.wait(FIRST_TIME):
                sys.exit(0)  # gunicorn ends because of the first, and expects no second fault
            self.log.error("%s", error)
            sys.exit(Arbiter.APP_LOAD_ERROR)

    def _make_server(self) -> Server:
        if self.cfg.is_ssl:
            raise ImproperlyConfigured(
                "socketio_server.gunicorn.Worker does not speak TLS: let a proxy as nginx do so, "
                "and remove certfile and keyfile from gunicorn's settings."
            )
        options = self._options()
        if self.cfg.workers > 1 and options.broker_url is None and self._is_first:
            self.log.warning(
                "%s workers without SOCKETIO_BROKER_URL: what handlers and views send reaches the "
                "clients of their own worker only; name a Redis there, as "
                '"redis://localhost:6379/0", or run one worker (-w 1)',
                self.cfg.workers,
            )
        return Server(BehindProxy(self.wsgi, self), self.sockets, options, folder=self._folder)

    def run(self) -> None:
        """Serve until gunicorn ends this worker, or it has answered ``max_requests``."""
        assert self._server is not None
        self._server.start()
        if self._announcement is not None:
            self._announcement.unlink(missing_ok=True)
        if self._is_first:
            self._print_banner(self._server)
        while self.alive:
            self.notify()
            self._ended.wait(HEARTBEAT)
        self._server.retire()
        since = time.monotonic()
        while self._successors_come():
            self.notify()
            gevent.sleep(SUCCESSORS_CHECK_INTERVAL)
        stopping = gevent.spawn(
            self._server.stop,
            self.cfg.graceful_timeout * GOODBYE_SHARE,
            time_over=time.monotonic() - since,
        )
        while not stopping.ready():
            self.notify()
            stopping.join(HEARTBEAT)

    def count_request(self) -> None:
        """Count a request that goes to the application; end at ``max_requests``."""
        self.nr += 1
        if self.nr == self.max_requests:
            self.log.info("Worker %s ends after max_requests (%s)", self.pid, self.nr)
            self._end()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """End in order (SIGTERM)."""
        gevent.get_hub().loop.run_callback_threadsafe(self._end)

    def handle_usr1(self, sig: int, frame: Any) -> None:
        """Open the log files anew, as every worker, and log the server's counters (SIGUSR1)."""
        super().handle_usr1(sig, frame)
        if self._server is not None:
            gevent.get_hub().loop.run_callback_threadsafe(
                gevent.spawn, self._log_statistics, self._server
            )

    def _print_banner(self, server: Server) -> None:
        """Log what all workers serve, and whether this one has reached the broker."""
        options = server.options
        self.log.info(
            "socketio_server %s at %s, %s; handlers: %s; workers: %s%s; broker: %s",
            self.version,
            server.path,
            " and ".join(options.transports),
            sum(len(event.registrations) for event in (*REGISTRY, *REGISTRY.cluster.values())),
            self.cfg.workers,
            f"; node: {options.node}" if options.node else "",
            describe_broker(options, server.snapshot()),
        )

    def _end(self) -> None:
        self.alive = False
        self._ended.set()

    def _successors_come(self) -> bool:
        """Return whether the arbiter has begun new workers that don't serve yet, as at a reload."""
        if self._folder is None:
            return False
        since = time.time() - self.cfg.graceful_timeout * SUCCESSORS_SHARE
        for file in Path(self._folder).glob(f"*{COMING}"):
            with suppress(FileNotFoundError):  # it serves now
                if file.stat().st_mtime > since and is_alive(file.stem):
                    return True
        return False

    def _log_statistics(self, server: Server) -> None:
        self.log.info("Statistics of worker %s: %s", self.pid, describe(server.snapshot()))

    def _options(self) -> Options:
        """Return the project's options, with the times that gunicorn's settings say."""
        options = self.read_options()
        return dataclasses.replace(
            options,
            keep_alive_timeout=keep_alive_timeout_of(self.cfg, options),
            drain_timeout=max(self.cfg.graceful_timeout - STOP_MARGIN, 1.0),
        )


def keep_alive_timeout_of(cfg: Any, options: Options) -> float:
    """Return how long a connection may be idle: what gunicorn's ``keepalive`` says, if somebody has
    set it. Its default is shorter than proxies keep connections, which then send a request into one
    that is just being closed.
    """
    if cfg.keepalive in (0, Keepalive.default):
        return options.keep_alive_timeout
    return float(cfg.keepalive)


def shared_folder(cfg: Any) -> str | None:
    """Return the folder of the workers' own sockets, which only their user may enter.

    The first arbiter makes it, where gunicorn has its workers' temporary files; one that replaces
    it (SIGUSR2) inherits it by the environment, and the last one removes it. gunicorn gives the
    other one the environment that it had itself before it read its settings.

    :return: ``None`` on systems on which connections can't move.
    """
    if sys.platform != "linux":
        return None
    folder = os.environ.get(FOLDER)
    if folder is not None and not os.path.lexists(folder):  # somebody has cleaned up
        with suppress(FileExistsError):
            os.makedirs(folder, 0o700)
            os.chown(folder, cfg.uid, cfg.gid)
    if folder is None or not _is_private(folder, cfg.uid):
        folder = os.environ[FOLDER] = tempfile.mkdtemp(prefix="socketio-", dir=cfg.worker_tmp_dir)
        os.chown(folder, cfg.uid, cfg.gid)
    cfg.env_orig[FOLDER] = folder
    _lock(folder, os.stat(folder).st_ino)
    atexit.unregister(_remove)
    atexit.register(_remove, folder, os.getpid())
    return folder


def _is_private(folder: str, user: int) -> bool:
    """Return whether a folder is this user's alone: another may have made it in place of ours."""
    found = os.lstat(folder)
    is_closed = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    return is_closed and found.st_uid == user


@cache
def _lock(folder: str, inode: int) -> None:
    """Keep systemd from cleaning the folder, as long as this process or one of its workers runs.

    It removes old files below ``/tmp``, but not from a folder that somebody has locked
    (tmpfiles.d(5), "Age").

    :param inode: the folder's number, which one that is made anew does not share.
    """
    with suppress(OSError):  # a file system without locks
        fcntl.flock(os.open(folder, os.O_RDONLY | os.O_CLOEXEC), fcntl.LOCK_SH)


def _remove(folder: str, arbiter: int) -> None:
    """Remove the folder at the arbiter's end, unless another arbiter's workers still use it."""
    if os.getpid() == arbiter:
        for announcement in Path(folder).glob(f"*-{arbiter}{COMING}"):
            announcement.unlink(missing_ok=True)
        with suppress(OSError):
            clean(folder)
            os.rmdir(folder)


class BehindProxy:
    """The project's WSGI application, behind a proxy as gunicorn's settings know it.

    :param application: the project's.
    :param worker: counts its requests.
    """

    def __init__(self, application: Application, worker: ServerWorker) -> None:
        self._application = application
        self._worker = worker
        cfg = worker.cfg
        self._secure_headers = {
            f"HTTP_{name.upper().replace('-', '_')}": value
            for name, value in cfg.secure_scheme_headers.items()
        }
        self._trusts_all = "*" in cfg.forwarded_allow_ips
        self._trusted = [ip_network(name) for name in cfg.forwarded_allow_ips if name != "*"]
        self._multiprocess = cfg.workers > 1

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        self._worker.count_request()
        environ["wsgi.multiprocess"] = self._multiprocess
        if self._is_secure(environ) and self._trusts(environ["REMOTE_ADDR"]):
            environ["wsgi.url_scheme"] = "https"
        return self._application(environ, start_response)

    def _is_secure(self, environ: Environ) -> bool:
        """Return whether the headers of ``secure_scheme_headers`` say so, and none denies it."""
        said = [
            environ[name] == value
            for name, value in self._secure_headers.items()
            if name in environ
        ]
        return bool(said) and all(said)

    def _trusts(self, address: str) -> bool:
        """Return whether ``forwarded_allow_ips`` has a peer; a Unix socket's is trusted always."""
        if self._trusts_all or not address:
            return True
        peer = ip_address(address)
        return any(peer in network for network in self._trusted)
