"""What clients notice when Redis or a worker ends, stands still, or starts again."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic

import gevent

from tests.scale.site import Site, site
from tests.scale.tables import NOTHING, show, spread
from tests.scale.visitors import Stay, Ticker, Visitor
from tests.support.tools import wait_until
from tests.support.wire import TransportName

TRANSPORTS: tuple[TransportName, ...] = ("websocket", "upgraded", "polling")
TICKS = 0.25
SETTLING = 3.0
"""Seconds after a fault before it is asked whether all is as before."""

RECOVERY = 60.0
"""Seconds that all may take to be as before."""


@dataclass
class Scene:
    """The site with its clients."""

    site: Site
    visitors: list[Visitor]
    ticker: Ticker | None = None
    voice: Visitor | None = None
    """Who sends the ticks."""

    def find_voice(self) -> Visitor | None:
        """Return the client that sends the ticks: the same one while it is there."""
        if self.voice is None or not self.voice.is_there:
            self.voice = next((each for each in self.visitors if each.is_there), None)
        return self.voice

    def other_worker(self) -> int:
        """Return a worker that the ticks don't come from."""
        assert self.voice is not None
        of_voice = self.voice.stays[-1].worker
        return next(v.stays[-1].worker for v in self.visitors if v.stays[-1].worker != of_voice)

    def all_hear(self) -> bool:
        """Return whether everybody has heard what was said a second ago, and all since."""
        assert self.ticker is not None
        recent = [n for n, at in self.ticker.ticks.items() if 1 < monotonic() - at < 2]
        return bool(recent) and all(
            each.is_there and set(recent) <= set(each.stays[-1].heard) for each in self.visitors
        )


def cut_connections(scene: Scene) -> None:
    """Let Redis close all connections."""
    scene.site.redis.client.client_kill_filter(_type="pubsub")
    scene.site.redis.client.client_kill_filter(_type="normal", skipme=True)


def kill_redis(scene: Scene) -> None:
    """Kill Redis, and start it three seconds later."""
    info: dict[str, int] = scene.site.redis.client.info("server")
    os.kill(info["process_id"], signal.SIGKILL)
    gevent.sleep(3)
    scene.site.redis.start()


def restart_redis(scene: Scene) -> None:
    """Shut Redis down, and start it at once."""
    scene.site.redis.shut_down()
    scene.site.redis.start()


def stop_redis(scene: Scene) -> None:
    """Let Redis stand still for ten seconds, as if it were cut off."""
    with scene.site.redis.stopped():
        gevent.sleep(10)


def kill_worker(scene: Scene) -> None:
    """Kill a worker that the ticks don't come from."""
    _end(scene, scene.other_worker(), signal.SIGKILL)


def end_worker(scene: Scene) -> None:
    """End a worker in order."""
    _end(scene, scene.other_worker(), signal.SIGTERM)


def reload(scene: Scene) -> None:
    """Replace all workers."""
    scene.site.server.send_signal(signal.SIGHUP)
    _wait_for_others(scene, {each.stays[-1].worker for each in scene.visitors})


def _end(scene: Scene, worker: int, signum: signal.Signals) -> None:
    os.kill(worker, signum)
    _wait_for_others(scene, {worker})


def _wait_for_others(scene: Scene, workers: set[int]) -> None:
    """Wait until nobody is at these workers any more."""
    wait_until(
        lambda: not any(each.stays[-1].worker in workers for each in scene.visitors),
        "clients to be at other workers",
        RECOVERY,
    )


FAULTS: dict[str, Callable[[Scene], None]] = {
    "Redis closes all connections": cut_connections,
    "Redis restarts": restart_redis,
    "Redis killed, back after 3 s": kill_redis,
    "Redis stands still for 10 s": stop_redis,
    "a worker killed (-9)": kill_worker,
    "a worker ends (TERM)": end_worker,
    "all workers reload (HUP)": reload,
}
HEAD = (
    "fault",
    "clients cut",
    "away, s (median / p99 / max)",
    "others: lost from their own worker",
    "others: lost from another worker",
    "seconds until all hear all",
    "heard twice",
    "tracebacks",
)


def main(clients: int, workers: int) -> None:
    """Let each of them happen, and print a table."""
    with site(workers) as at:
        come_faults: Counter[str] = Counter()
        visitors = []
        for number in range(clients):
            transport = TRANSPORTS[number % len(TRANSPORTS)]
            visitors.append(Visitor(at.server.address, transport, come_faults))
            gevent.sleep(0.005)
        scene = Scene(at, visitors)
        wait_until(lambda: all(each.is_there for each in visitors), "all clients", RECOVERY)
        scene.ticker = Ticker(scene.find_voice, TICKS)
        rows: list[Sequence[object]] = [HEAD]
        for name, fault in FAULTS.items():
            wait_until(scene.all_hear, "all to hear all", RECOVERY)
            rows.append((name, *observe(scene, fault)))
        show(
            f"{clients} clients over {workers} workers, {1 / TICKS:g} messages a second to all",
            rows,
        )
        for visitor in visitors:
            visitor.leave()


def observe(scene: Scene, fault: Callable[[Scene], None]) -> Sequence[object]:
    """Let something happen, wait until all is as before, and return what clients noticed."""
    assert scene.ticker is not None
    assert scene.voice is not None
    speaker = scene.voice.stays[-1].worker
    before = {visitor: len(visitor.stays) for visitor in scene.visitors}
    logged = scene.site.server.output.count("Traceback")
    began = monotonic()
    fault(scene)
    gevent.sleep(SETTLING)
    wait_until(scene.all_hear, "all to hear all", RECOVERY)
    ticks = {n: at for n, at in scene.ticker.ticks.items() if began - 1 < at < monotonic() - 1}
    cut = [v for v in scene.visitors if len(v.stays) > before[v]]
    stayed = [v.stays[-1] for v in scene.visitors if len(v.stays) == before[v]]
    away = [seconds for v in cut for seconds in v.away[before[v] - 1 :]]
    lost = [ticks[n] - began for v in scene.visitors for n in _unheard(v.stays, ticks)]
    return (
        len(cut),
        spread(away),
        _most(stay.missed(ticks) for stay in stayed if stay.worker == speaker),
        _most(stay.missed(ticks) for stay in stayed if stay.worker != speaker),
        f"{max(lost) + TICKS:.1f}" if lost else "0",
        sum(len(s.heard) - len(set(s.heard)) for v in scene.visitors for s in v.stays),
        scene.site.server.output.count("Traceback") - logged,
    )


def _unheard(stays: Sequence[Stay], ticks: dict[int, float]) -> list[int]:
    heard = {number for stay in stays for number in stay.heard}
    return [number for number in ticks if number not in heard]


def _most(missed: Iterable[list[int]]) -> str:
    """Return the most that one of the clients has missed."""
    most = max(map(len, missed), default=None)
    return NOTHING if most is None else f"≤ {most}" if most else "0"
