"""Draws the plots: ``python -m benchmarks.plots RESULTS FOLDER``, with the peers' Python.

A program of its own because matplotlib is not among what the server or its tests need.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.report import CPU, TITLES
from benchmarks.results import Results, read
from benchmarks.scenarios import FAN_OUTS, IDLES
from benchmarks.servers import QUICK, SERVERS

os.environ["MPLBACKEND"] = "Agg"  # files, no windows
plt: Any = import_module("matplotlib.pyplot")  # where types are checked, it is not installed

COLOURS = {"ours": "#0b7a3b", "node": "#d17a00", "limit": "#555555"}
OTHERS = ("#4c72b0", "#8172b3", "#c44e52", "#937860", "#64b5cd")


def colour(server: str) -> str:
    """Return a server's colour, the same in every plot."""
    others = [name for name in SERVERS if name not in COLOURS]
    return COLOURS[server] if server in COLOURS else OTHERS[others.index(server) % len(OTHERS)]


def draw_memory(axes: Any, results: Results) -> bool:
    """Draw connections and memory."""
    drawn = False
    for server in (name for name in SERVERS if name in results.servers):
        before = results.median("idle5k", server, "rss_kb_before")
        points = {0: before} | {
            count: results.median(name, server, "rss_kb_connected") for count, name in IDLES.items()
        }
        known = {count: kb * 1.024e-3 for count, kb in points.items() if kb is not None}
        if len(known) > 1:
            drawn = True
            axes.plot(
                list(known), list(known.values()), "o-", color=colour(server), label=TITLES[server]
            )
    axes.set(
        title="Memory of the server", xlabel="idle connections", ylabel="MB (RSS)", ylim=(0, None)
    )
    return drawn


def draw_latency(axes: Any, results: Results) -> bool:
    """Draw how long the last of so many subscribers waits for a message."""
    drawn = False
    styles = {"lat_us_p50": "-", "lat_us_p90": "--", "lat_us_p99": ":"}
    for server in (name for name in QUICK if name in results.servers):
        for metric, style in styles.items():
            known = {
                count: value / 1e3
                for count, name in FAN_OUTS.items()
                if (value := results.median(name, server, metric)) is not None
            }
            if known:
                drawn = True
                axes.plot(
                    list(known),
                    list(known.values()),
                    style,
                    marker="o",
                    color=colour(server),
                    label=f"{TITLES[server]}, {metric.removeprefix('lat_us_')}",
                )
    axes.set(
        title="Fan-out: until the last one has the message",
        xlabel="subscribers",
        ylabel="ms",
        xscale="log",
        yscale="log",
    )
    return drawn


def draw_cpu(axes: Any, results: Results) -> bool:
    """Draw CPU per delivery, by server and number of subscribers."""
    servers = [
        name
        for name in SERVERS
        if any(results.median(scenario, name, CPU) is not None for scenario in FAN_OUTS.values())
    ]
    width = 0.8 / max(1, len(servers))
    for i, server in enumerate(servers):
        heights = [results.median(name, server, CPU) or 0 for name in FAN_OUTS.values()]
        places = [place + (i - (len(servers) - 1) / 2) * width for place in range(len(FAN_OUTS))]
        bars = axes.bar(places, heights, width, color=colour(server), label=TITLES[server])
        axes.bar_label(bars, [f"{h:.1f}" if h else "" for h in heights], fontsize=6)
    axes.set_xticks(range(len(FAN_OUTS)), [f"{count:,}" for count in FAN_OUTS])
    highest = max((bar.get_height() for bar in axes.patches), default=0)
    scale = "log" if highest > 60 else "linear"  # with the slow ones, nothing else could be seen
    axes.set(
        title="CPU time of the server per delivery",
        xlabel="subscribers",
        ylabel=f"µs, {scale}",
        yscale=scale,
    )
    return bool(servers)


PLOTS = {
    "benchmark-memory": draw_memory,
    "benchmark-latency": draw_latency,
    "benchmark-cpu": draw_cpu,
}


def main() -> None:
    """Draw all of them for which something was measured."""
    results, folder = Results(read(Path(sys.argv[1]))), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PLOTS.items():
        figure, axes = plt.subplots(figsize=(10, 4.5), layout="constrained")
        if draw(axes, results):
            axes.grid(visible=True, color="#dddddd")
            axes.set_axisbelow(True)
            figure.legend(loc="outside right upper", fontsize=8)
            figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
