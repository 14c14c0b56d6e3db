"""What is measured: each scenario as the load generator's arguments."""

from dataclasses import dataclass

DESCRIPTOR_SHARE = 0.8
"""Our server lets connections have this share of its descriptors."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """One way of loading a server, with WebSockets or (``poll``) by polling.

    :param mode: the load generator's.
    :param seconds: how long to measure, after a second of warming up.
    :param action: what the clients ask for: ``echo`` or ``orm`` to be answered, ``message`` to have
        it sent to everybody on ``room-1``.
    :param size: bytes of the message's JSON object.
    :param options: further arguments of the load generator.
    :param stalled: how many of the connections do not read.
    :param only: the one server that can do it.
    """

    mode: str
    connections: int
    seconds: float = 2.5
    action: str = ""
    size: int = 64
    options: tuple[str, ...] = ()
    stalled: int = 0
    only: str | None = None

    @property
    def descriptors(self) -> int:
        """How many descriptors the server must be allowed to have."""
        return int(self.connections / DESCRIPTOR_SHARE) + 64

    def arguments(self, *, smoke: bool) -> list[str]:
        """Return the arguments that say how many connections do how much for how long."""
        if smoke:
            counts = ["--conns", "6", "--seconds", "0.3", "--warm", "0.05", "--settle", "0.05"]
            if self.action:
                counts += ["--at-least", "1"]
            stalled = min(1, self.stalled)
        else:
            counts = ["--conns", str(self.connections), "--seconds", f"{self.seconds:g}"]
            stalled = self.stalled
        return [*counts, "--ramp", "100", "--stalled", str(stalled), *self.options]


def _fan_out(connections: int, *, seconds: float = 2.5, stuck: int = 5) -> Load:
    return Load(
        mode="fanout",
        connections=connections,
        seconds=seconds,
        action="message",
        options=("--window", "1", "--stuck", str(stuck)),
    )


FAN_OUTS = {100: "fan100", 1_000: "fan1000", 5_000: "fan5000", 15_000: "fan15000"}
"""Fan-out scenarios by their subscribers."""

IDLES = {5_000: "idle5k", 15_000: "idle15k"}
"""Scenarios without messages by their connections."""

LOADS = {
    "idle5k": Load(mode="idle", connections=5_000, seconds=1),
    "idle15k": Load(mode="idle", connections=15_000, seconds=1),
    "echo1": Load(mode="echo", connections=100, action="echo", options=("--outstanding", "1")),
    "echo8": Load(mode="echo", connections=100, action="echo", options=("--outstanding", "8")),
    "orm1": Load(
        mode="echo", connections=100, action="orm", options=("--outstanding", "1"), only="ours"
    ),
    "fan100": _fan_out(100),
    "fan1000": _fan_out(1_000),
    "fan5000": _fan_out(5_000, stuck=6),
    "fan15000": _fan_out(15_000, seconds=3, stuck=10),
    "stalled": Load(
        mode="stalled",
        connections=200,
        stalled=5,
        seconds=5,
        action="message",
        size=8192,
        options=("--window", "1", "--stuck", "3"),
    ),
    "poll": Load(mode="poll", connections=100, action="echo"),
}

READERS = {"slow", "burst"}
"""Scenarios of ``benchmarks.readers``: clients that read at their own pace."""


def _to_the_other(*options: str, seconds: float = 1.5) -> Load:
    """Return the load of a client at one process, who sends to a room with itself and another."""
    options = (*options, "--stuck", "5")
    return Load(mode="fanout", connections=2, seconds=seconds, action="message", options=options)


CLUSTER_LOADS = {
    "pair1000": _fan_out(1_000),
    "pair": _to_the_other("--window", "16"),
    "pair200": _to_the_other("--window", "64", "--rate", "200", seconds=5),
    "absent": _to_the_other("--window", "16"),
    "workers": LOADS["echo1"],
}
"""Scenarios with several processes and a Redis."""

CLUSTER = (*CLUSTER_LOADS, "moved")
"""All of those; they run if they are named."""

NAMES = (*LOADS, "slow", "burst", "big", "start")
"""All scenarios that run by default, in their order."""

COMPARED = ("idle5k", "echo1", "fan1000", "poll")
"""What servers besides ours, Node.js and the limit are measured in, unless scenarios are named: in
all of them it would take an hour, and tell no more."""

ALIASES = {"connect": ("idle5k",), "cluster": CLUSTER}
"""What is read off another scenario's run, and names for several."""
