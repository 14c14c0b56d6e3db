"""Puts a server together from Django's settings and the layers below, and runs it.

The one place where all parts meet. ``Server`` needs a process in which gevent has patched the
standard library; the command ``runserver_socketio`` provides it.
"""

import dataclasses
import gc
import logging
import os
import resource
import sys
from collections.abc import Iterable
from time import monotonic, time
from typing import Any

import gevent
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse

from socketio_server.dispatch.cluster_events import ClusterEvents
from socketio_server.dispatch.developer_hints import DeveloperHints
from socketio_server.dispatch.dispatcher import Dispatcher
from socketio_server.dispatch.member import Member
from socketio_server.dispatch.rights import Grant
from socketio_server.engine.engine import GOODBYE_TIME, Engine
from socketio_server.http.listener import HttpListener
from socketio_server.http.siblings import Siblings
from socketio_server.net.held_total import HeldTotal
from socketio_server.net.log_queue import LogQueue
from socketio_server.net.loop import GuardedLoop, SharingLoop
from socketio_server.net.statistics import Snapshot, Stats
from socketio_server.net.turns import Turns
from socketio_server.net.workers import WorkerPool
from socketio_server.options import Options
from socketio_server.registry.events import REGISTRY, Registry
from socketio_server.serving import current, ended_requests, outside
from socketio_server.serving.around_events.hooks import DjangoHooks
from socketio_server.serving.around_handshakes import refused_hosts, wrong_paths
from socketio_server.serving.brokers import make_broker
from socketio_server.serving.lost_clients import LostClients
from socketio_server.serving.middleware import load_middleware
from socketio_server.serving.process import asyncio_loops, forks, restart
from socketio_server.serving.process.block_watch import BlockWatch
from socketio_server.serving.process.freed_memory import FreedMemory, give_back_large_blocks
from socketio_server.serving.rights import revocations
from socketio_server.serving.rights.rechecks import Rechecks
from socketio_server.serving.timekeeper import GeventTimekeeper
from socketio_server.serving.transactions import DjangoTransactions
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.operations import Operations
from socketio_server.sockets.socket import Socket
from socketio_server.sockets.this_process import CLIENTS

logger = logging.getLogger("socketio_server")

LOGGERS = (
    "django.server",
    "socketio_server",
    "socketio_server.handshake",
    "socketio_server.http",
    "socketio_server.messages",
)
"""The server's loggers, and Django's for requests."""

GC_THRESHOLDS = (20_000, 20, 50)
"""The cyclic garbage collector runs rarely, because the server makes no cycles per message."""

FLUSH_TIME = 1.0
"""Seconds in which the last log lines are to be written; they come on top of ``drain_timeout``."""

DRAIN_CHECK_INTERVAL = 0.02
"""Seconds between two checks whether everything is done that a stop waits for."""

BROKER_STOP_TIMEOUT = 0.5
"""Seconds that the last messages to other processes have, even after ``drain_timeout``."""

STOP_OVERHEAD = BROKER_STOP_TIMEOUT + 2 * FLUSH_TIME
"""Seconds that ``Server.stop`` may take beyond ``drain_timeout``: for the broker, for the last log
lines, and for a log handler that waits."""

DESCRIPTOR_SHARE = 0.8
"""The share of connections in the descriptors that the process may open."""


def limit_connections(wanted: int) -> int:
    """Return how many of the wanted connections the process has descriptors for."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, int(descriptors * DESCRIPTOR_SHARE))


class Server:
    """A running server.

    :param application: Django's WSGI application.
    :param listeners: listening sockets, or ``(host, port)``; port 0 lets the system choose one.
    :param folder: where the workers of this machine have the sockets through which connections move
        from one to another; ``None`` if this is the only one.
    :raises ImproperlyConfigured: if gevent has not patched the standard library, or the broker
        can't be used.
    """

    def __init__(
        self,
        application: Any,
        listeners: Iterable[Any],
        options: Options,
        *,
        registry: Registry = REGISTRY,
        clients: Clients[Socket] = CLIENTS,
        folder: str | None = None,
    ) -> None:
        _require_patches()
        asyncio_loops.install()
        self._clients = clients
        self._registry = registry
        self._log = LogQueue(LOGGERS)
        self._stats = Stats(monotonic)
        loop = GuardedLoop(gevent.get_hub().loop, self._stats.refusals)
        self._block_watch = BlockWatch(loop, sys.stderr.write) if settings.DEBUG else None
        most = limit_connections(options.max_connections)
        options = dataclasses.replace(options, max_connections=most)
        self.options = options
        turns, held_total = Turns(loop, options, clock=monotonic), HeldTotal(loop, options)
        self._freed_memory = FreedMemory(lambda: held_total.bytes, clock=monotonic)
        self._dispatcher, self._cluster_events, self._rechecks = self._make_dispatcher(
            loop, turns, held_total
        )
        worker = _name_worker(options.node, is_alone=folder is None)
        self._siblings = (
            None if folder is None else Siblings(folder, worker, loop, self._stats.refusals)
        )
        operations = Operations(clients, current.describe_server)
        lost_clients = LostClients(
            operations.find_workers,
            settled=options.ping_interval + options.ping_timeout,
            clock=monotonic,
        )
        self.engine = Engine(
            loop,
            options,
            self._dispatcher.accept,
            self._stats,
            clock=monotonic,
            worker=worker,
            turns=turns,
            held_total=held_total,
            on_unknown_sid=lost_clients.came,
        )
        self._timekeeper = GeventTimekeeper(options.stall_timeout, lambda: self.engine.draining)
        self._broker = make_broker(
            clients,
            options,
            operations=operations,
            patience=self._timekeeper,
            refusals=self._stats.refusals,
            clock=monotonic,
            on_return=self._rechecks.make_up,
        )
        self.path = reverse("socketio")
        """The path of the handshake, in the language that is active at the start."""
        served = self._watch(application)
        self._listeners = [
            HttpListener(
                listener,
                served,
                engine=self.engine,
                options=options,
                loop=loop,
                clock=monotonic,
                wall_clock=time,
                request_ended=self._freed_memory.request_ended,
                siblings=self._siblings,
            )
            for listener in listeners
        ]

    @property
    def port(self) -> int:
        """The port that it listens on, or the first of several."""
        port = self._listeners[0].server_port
        assert port is not None  # a TCP socket has one
        return port

    @property
    def workers(self) -> int:
        """How many processes of this machine share connections, this one included."""
        return 1 if self._siblings is None else self._siblings.count()

    def start(self) -> None:
        """Listen, and begin to serve.

        :raises OSError: if the address can't be listened on.
        """
        self._log.open()
        on_commit, most = self.options.on_commit, self.options.max_queued_bytes
        self._clients.serve(
            broker=self._broker,
            timekeeper=self._timekeeper,
            transactions=DjangoTransactions(most) if on_commit else None,
            run_cluster_event=self._rechecks.intercept(self._cluster_events.run),
            keep_answer=self._dispatcher.remote_clients.keep,
            output=self.engine.output,
        )
        # Before anything waits: without it, senders would connect as a process without a server.
        current.server = self
        current.rechecks = self._rechecks
        self._rechecks.start()
        self._broker.start(self._registry.namespaces)
        if self._siblings is not None:
            self._siblings.start()
        for listener in self._listeners:
            listener.start()
        forks.install((listener.socket for listener in self._listeners), self._leave_to_parent)
        give_back_large_blocks()
        self._freed_memory.start()
        if self._block_watch is not None:
            self._block_watch.start()
        # The collector must not visit, again and again, objects that live as long as the process
        # or a connection: there are thousands of them.
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)

    def snapshot(self) -> Snapshot:
        """Return the present sizes and counters of the server."""
        clients, stats = self._clients, self._stats
        snapshot: Snapshot = {
            "connections": self.engine.admission.total,
            "sessions": len(self.engine),
            "sockets": len(clients),
            "channels": clients.channels.total,
            "queued_bytes": self.engine.output.total,
            "waiting_bytes": self._dispatcher.total.bytes,
            "decoded_bytes": self._dispatcher.decoded_memory.taken,
            "messages_in": stats.messages_in,
            "messages_out": clients.messages_out,
            "events": stats.events,
            "handler_seconds": stats.handler_time,
            "log_lines_dropped": self._log.dropped,
            "refusals": dict(stats.refusals.counts),
        }
        self._broker.count(snapshot)
        return snapshot

    @property
    def others_accept(self) -> bool:
        """Whether other workers of this machine take new clients."""
        return self._siblings is not None and self._siblings.others_accept

    def retire(self) -> None:
        """Let the other workers of this machine, as they stop, give no clients to this one."""
        if self._siblings is not None:
            self._siblings.retire()

    def stop(self, goodbye_time: float = GOODBYE_TIME, *, time_over: float = 0.0) -> bool:
        """Close all sessions, run their last handlers, deliver their messages, and finish the HTTP
        requests that are under way; accept no new connections. Those that are there move, with
        their next request, to other workers that take new clients.

        Takes no longer than ``drain_timeout`` and ``STOP_OVERHEAD``, unless a handler or view
        blocks the loop.

        :param goodbye_time: seconds over which the goodbyes to clients are spread.
        :param time_over: seconds of ``drain_timeout`` that are over already.
        :return: ``False`` if handlers or requests were abandoned; ``True`` if another greenlet is
            stopping the server.
        """
        if not all(listener.started for listener in self._listeners):
            return True
        until = monotonic() + self.options.drain_timeout - time_over
        self.retire()
        for listener in self._listeners:
            listener.stop(timeout=0)
            listener.hand_over_waiting()
        self.engine.drain(gevent.sleep, goodbye_time)
        drained = self._dispatcher.wait_until_idle(until - monotonic())
        self._wait_for_answers(until)
        if self._siblings is not None:
            self._siblings.close_door()
            self._wait_for_answers(until)  # to what came through it at last
        abandoned = {
            "handlers": not drained,
            "requests": self._answers_requests(),
            "messages to slow clients": not self.engine.is_drained,
        }
        if any(abandoned.values()):
            logger.warning(
                "SOCKETIO_DRAIN_TIMEOUT (%s s) is over, abandoned: %s",
                self.options.drain_timeout,
                ", ".join(what for what, is_abandoned in abandoned.items() if is_abandoned),
            )
        for listener in self._listeners:
            listener.hand_over_waiting()
        self._freed_memory.stop()
        if self._block_watch is not None:
            self._block_watch.stop()
        if self._siblings is not None:
            self._siblings.stop()
        self._broker.stop(BROKER_STOP_TIMEOUT)
        current.server = current.rechecks = None
        self._rechecks.stop()
        self._clients.stop_serving()
        self._log.close(FLUSH_TIME)
        return not (abandoned["handlers"] or abandoned["requests"])

    def _leave_to_parent(self) -> None:
        """Serve nobody in a process that was forked from the server's."""
        current.server = current.rechecks = None
        for listener in self._listeners:
            listener.is_copy = True
            listener.request_workers.waiting.clear()
        self._handler_pool.waiting.clear()
        if self._siblings is not None:
            self._siblings.leave_to_parent()
        self._broker.leave_to_parent()
        self._clients.leave_to_parent()
        outside.connect()  # for what sockets send to others

    def _wait_for_answers(self, until: float) -> None:
        """Wait until all clients have their answers and messages, or it is so late."""
        while (self._answers_requests() or not self.engine.is_drained) and monotonic() < until:
            gevent.sleep(DRAIN_CHECK_INTERVAL)

    def _answers_requests(self) -> bool:
        """Return whether the application answers a request just now."""
        return any(listener.request_workers.busy for listener in self._listeners)

    def _make_dispatcher(
        self, loop: SharingLoop, turns: Turns, held_total: HeldTotal
    ) -> tuple[Dispatcher, ClusterEvents, Rechecks]:
        """Return what runs the handlers: of clients' events, of the cluster's, and of rechecks."""
        options = self.options
        pool = self._handler_pool = WorkerPool(
            gevent.get_hub(),
            loop,
            options,
            options.max_concurrent_handlers,
            clock=monotonic,
            turns=turns,
        )
        hooks = DjangoHooks(
            options.message_log_format,
            loop=loop,
            sqlite_timeout=options.database_idle_timeout,
            refresh_interval=options.refresh_interval,
        )
        cluster_events = ClusterEvents(self._registry, hooks, pool, self._stats, clock=monotonic)
        hints = DeveloperHints(self._registry) if settings.DEBUG else None
        grants: dict[Member, Grant] = {}
        rechecks = Rechecks(
            grants,
            self._clients,
            pool,
            hooks=hooks,
            interval=options.recheck_interval,
            hints=hints,
        )
        dispatcher = Dispatcher(
            registry=self._registry,
            clients=self._clients,
            hooks=hooks,
            grants=grants,
            pool=pool,
            loop=loop,
            options=options,
            stats=self._stats,
            clock=monotonic,
            held_total=held_total,
            hints=hints,
            middleware=load_middleware(options.middleware),
        )
        return dispatcher, cluster_events, rechecks

    def _watch(self, application: Any) -> Any:
        """Return the application, watched for requests that never reach the handshake's view, for
        rights that are lost, and for requests that end.
        """
        watched = ended_requests.watch(revocations.watch(application))
        watched = refused_hosts.watch(watched, self.engine)
        return wrong_paths.watch(watched, self.path) if settings.DEBUG else watched


def _require_patches() -> None:
    """Raise ``ImproperlyConfigured`` unless gevent has patched the standard library."""
    if not restart.is_patched():
        raise ImproperlyConfigured(
            "gevent has not patched the standard library: start the server with "
            "`python manage.py runserver_socketio`, or put `from gevent import monkey; "
            "monkey.patch_all()` before every other import of the program."
        )


def _name_worker(node: str, *, is_alone: bool) -> str:
    """Return the name of this process in its sessions' ids.

    :param node: the machine's name; empty if it has none.
    :param is_alone: whether no other process of the machine gets requests of its sessions.
    :return: empty if nobody else gets them.
    """
    if is_alone and not node:
        return ""
    return "-".join(filter(None, (node, str(os.getpid()))))
