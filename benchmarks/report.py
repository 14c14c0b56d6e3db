"""The tables, as Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.measuring import DJANGO
from benchmarks.results import Results
from benchmarks.scenarios import CLUSTER, IDLES, LOADS, NAMES
from benchmarks.servers import SERVERS

NOTHING = "–"
CPU = "cpu_us_per_op"
TITLES = {
    **{name: server.title for name, server in SERVERS.items()},
    "django": DJANGO.title,
    "view": "plain Django view",
    "alone": "one worker",
}


@dataclass(frozen=True)
class Goal:
    """What is wanted of one figure.

    :param what: what the figure is.
    :param scale: what it is multiplied with to be in its unit.
    :param ratios: the most that it may be of a server's, by the server's name.
    :param most: the most that it may be.
    """

    what: str
    unit: str
    scenario: str
    metric: str
    scale: float = 1.0
    decimals: int = 1
    ratios: dict[str, float] = field(default_factory=dict)
    most: float | None = None


FAN_OUT = {"limit": 1.25, "node": 0.5}
ECHO = {"limit": 2.5, "node": 0.7}
RSS = ("rss_bytes_per_conn", 1e-3)
GOALS = [
    Goal("fan-out to 100, CPU per delivery", "µs", "fan100", CPU),
    Goal("fan-out to 1,000, CPU per delivery", "µs", "fan1000", CPU, ratios=FAN_OUT),
    Goal("fan-out to 5,000, CPU per delivery", "µs", "fan5000", CPU, ratios=FAN_OUT),
    Goal("fan-out to 15,000, CPU per delivery", "µs", "fan15000", CPU),
    Goal("echo, 1 in flight, CPU per message", "µs", "echo1", CPU, ratios=ECHO),
    Goal("echo, 8 in flight, CPU per message", "µs", "echo8", CPU, ratios=ECHO),
    Goal("echo with one ORM read, CPU per message", "µs", "orm1", CPU, ratios={"view": 2.0}),
    Goal("memory per idle connection, 5,000", "kB", "idle5k", *RSS, 1, {"node": 0.5}, 8),
    Goal("memory per idle connection, 15,000", "kB", "idle15k", *RSS, 1, {"node": 0.5}, 8),
    Goal("connect, CPU", "µs", "idle5k", "cpu_us_per_connect", decimals=0, ratios={"node": 0.9}),
    Goal("polling: a message up and down, CPU", "µs", "poll", CPU, ratios={"node": 1.0}),
    Goal("5 of 200 stalled: longest gap of others", "ms", "stalled", "worst_gap_ms", most=100),
    Goal("5 of 200 stalled: memory at the end", "MB", "stalled", "rss_kb_end", 1.024e-3),
    Goal("slow reader of 100 MB: memory", "MB", "slow", "growth_bytes_per_client", 1e-6, most=2),
    Goal("burst of 20 × 500 kB to 100: memory", "MB", "burst", "growth_bytes", 1e-6, most=40),
    Goal("900 kB up: loop blocked", "ms", "big", "blocked_ms", decimals=2, most=5),
    Goal("start to first answer", "ms", "start", "start_ms", decimals=0, ratios={"django": 1.2}),
]
NODE = {"node": 1.0}
CLUSTER_GOALS = [
    Goal("fan-out to 1,000 at two processes, CPU per delivery", "µs", "pair1000", CPU, ratios=NODE),
    Goal(
        "fan-out to 1,000 at two processes: the last one has it",
        *("ms", "pair1000", "lat_us_p50", 1e-3),
        ratios=NODE,
    ),
    Goal(
        "fan-out to 1,000 at two processes: the sender's CPU per message",
        *("ms", "pair1000", "sender_us", 1e-3, 2),
        ratios=NODE,
    ),
    Goal("to a client of the other: its process's CPU", "µs", "pair", "receiver_us", ratios=NODE),
    Goal("to a client of the other: the sender's CPU", "µs", "pair", "sender_us", ratios=NODE),
    Goal("to a client of the other: Redis's CPU", "µs", "pair", "redis_us", ratios={}),
    Goal(
        "200 a second to the other: the sender's CPU",
        *("µs", "pair200", "sender_us", 1, 0),
        ratios=NODE,
    ),
    Goal("200 a second to the other: p50", "ms", "pair200", "lat_us_p50", 1e-3, 2, NODE),
    Goal("200 a second to the other: p99", "ms", "pair200", "lat_us_p99", 1e-3, 2, NODE),
    Goal(
        "a room that nobody is in here: CPU per message",
        "µs",
        "absent",
        "receiver_us",
        1,
        2,
        {},
        0.1,
    ),
    Goal(
        "a room that nobody is in there: the sender's CPU", "µs", "absent", "sender_us", ratios=NODE
    ),
    Goal("two workers, echo: CPU per message", "µs", "workers", CPU, ratios={"alone": 1.1}),
    Goal(
        "poll on a connection that moves: CPU", "× one that stays", "moved", "times", 1, 2, {}, 1.5
    ),
]
GROWTH = 1.10
"""By how much more than the limit's our cost per delivery may grow from 100 to 15,000."""


def report(results: Results) -> str:
    """Return all tables."""
    single, cluster = report_single(results.of(NAMES)), report_cluster(results.of(CLUSTER))
    return "\n\n".join(part for part in (single, cluster) if part)


def report_cluster(results: Results) -> str:
    """Return the tables of scenarios with several processes."""
    parts = [_machines(results), _table(_cluster_rows(results), "what", "unit")]
    stayed, moved = (results.median("moved", "ours", f"{how}_us") for how in ("stayed", "moved"))
    if stayed is not None and moved is not None:
        parts.append(
            f"* A request of a polling client takes {stayed:.0f} µs on a connection that stays, "
            f"and {moved:.0f} µs on one that moves."
        )
    return _join(parts, results)


def report_single(results: Results) -> str:
    """Return the tables of scenarios with one process."""
    parts = [
        _machines(results),
        _table(_goal_rows(results), "what", "unit", "ours (min–max)", "Node.js", "limit")
        + _notes(results),
        "CPU time of the server in µs per delivery, message or connection, and how many times the "
        "limit's it is:",
        _matrix(results),
        "Memory per idle connection in kB (RSS), and what of 5,000 connections the server takes "
        "in all:",
        _memory(results),
        "Latency in ms and rate; of a fan-out: until the last one has the message, and deliveries:",
        _latencies(results),
    ]
    return _join(parts, results)


def _join(parts: list[str], results: Results) -> str:
    """Return the parts, and what was not measured; nothing without any results."""
    if not results:
        return ""
    errors = [f"* {scenario}, {TITLES[name]}: {why}" for scenario, name, why in results.errors()]
    if errors:
        parts += ["Not measured:", "\n".join(dict.fromkeys(errors))]
    return "\n\n".join(part for part in parts if part)


def _machines(results: Results) -> str:
    """Return a line on the machine, for each that was measured on."""
    lines = []
    for machine in results.machines:
        versions = ", ".join(
            f"{title} {machine[key]}"
            for key, title in (
                ("python", "Python"),
                ("Django", "Django"),
                ("gevent", "gevent"),
                ("node", "Node.js"),
            )
            if machine.get(key)
        )
        lines.append(
            f"Measured on {machine['date']} at revision {machine['revision']}: {machine['cpu']}, "
            f"{machine['kernel']}, {versions}; medians of {machine['repeats']}."
        )
    noise = results.noise()
    if noise is not None:
        lines.append(f"The machine's own speed varied by {noise:.0f}% during the measurements.")
    return "\n".join(dict.fromkeys(lines))


def _goal_rows(results: Results) -> Iterator[list[str]]:
    yield ["÷ limit", "÷ Node.js", "goal", "reached"]
    for goal in GOALS:
        median = results.median(goal.scenario, "ours", goal.metric)
        if median is None:
            continue
        ratios = {
            name: results.ratio(goal.scenario, goal.metric, "ours", name)
            for name in ("limit", "node", *goal.ratios)
        }
        yield [
            goal.what,
            goal.unit,
            _with_range(results, goal),
            _number(results, goal, "node"),
            _number(results, goal, "limit"),
            _times(ratios["limit"]),
            _times(ratios["node"]),
            _goal(results, goal),
            _verdict(
                [(median * goal.scale, goal.most)]
                + [(ratios[name], most) for name, most in goal.ratios.items()]
            ),
        ]
    growths = {
        name: results.growth(name, CPU, "fan100", "fan15000") for name in ("ours", "node", "limit")
    }
    ours, limit = growths["ours"], growths["limit"]
    if ours is not None:
        excess = ours / limit if limit else None
        cells = [_times(growths[name]) for name in ("ours", "node", "limit")]
        goal_text = f"≤ {GROWTH:.2f} × limit"
        what = "growth of CPU per delivery, 100 → 15,000"
        yield [what, "", *cells, _times(excess), NOTHING, goal_text, _verdict([(excess, GROWTH)])]


def _cluster_rows(results: Results) -> Iterator[list[str]]:
    yield ["ours (min–max)", "Node.js", "÷ Node.js", "goal", "reached"]
    for goal in CLUSTER_GOALS:
        median = results.median(goal.scenario, "ours", goal.metric)
        if median is None:
            continue
        ratios = {
            name: results.ratio(goal.scenario, goal.metric, "ours", name)
            for name in ("node", *goal.ratios)
        }
        yield [
            goal.what,
            goal.unit,
            _with_range(results, goal),
            _number(results, goal, "node"),
            _times(ratios["node"]),
            _goal(results, goal),
            _verdict(
                [(median * goal.scale, goal.most)]
                + [(ratios[name], most) for name, most in goal.ratios.items()]
            ),
        ]


def _with_range(results: Results, goal: Goal) -> str:
    text = _number(results, goal, "ours")
    ends = results.range(goal.scenario, "ours", goal.metric)
    if ends is None or ends[0] == ends[1]:
        return f"**{text}**"
    low, high = (f"{end * goal.scale:,.{goal.decimals}f}" for end in ends)
    return f"**{text}** ({low}–{high})"


def _number(results: Results, goal: Goal, server: str) -> str:
    value = results.median(goal.scenario, server, goal.metric)
    return NOTHING if value is None else f"{value * goal.scale:,.{goal.decimals}f}"


def _goal(results: Results, goal: Goal) -> str:
    parts = [] if goal.most is None else [f"≤ {goal.most:g} {goal.unit}"]
    for name, most in goal.ratios.items():
        if name in ("limit", "node"):
            parts.append(f"≤ {most:g} × {TITLES[name].split()[0] if name == 'node' else name}")
        else:
            ratio = _times(results.ratio(goal.scenario, goal.metric, "ours", name))
            theirs = _number(results, goal, name)
            parts.append(f"≤ {most:g} × {TITLES[name]} ({theirs} {goal.unit}): {ratio}")
    return ", ".join(parts) or NOTHING


def _verdict(found: Sequence[tuple[float | None, float | None]]) -> str:
    """Say whether all values are at most what they may be."""
    judged = [(value, most) for value, most in found if most is not None]
    if not judged or any(value is None for value, _ in judged):
        return NOTHING
    return "yes" if all(value <= most for value, most in judged if value is not None) else "**no**"


def _notes(results: Results) -> str:
    """Return what the table has no column for."""
    notes = []
    signals, stack = (
        results.median("orm1", "view", metric)
        for metric in ("signals_us_per_op", "stack_us_per_op")
    )
    if signals is not None and stack is not None:
        notes.append(
            f"* The Django view with what Django does around each request (connections closed) "
            f"takes {signals:.0f} µs, and {stack:.0f} µs through the default middleware."
        )
    refusals = results.refusals("stalled")
    if refusals:
        kinds = "; ".join(
            ", ".join(f"{kind} {count}" for kind, count in found.items()) or "none"
            for found in refusals
        )
        notes.append(f"* Stalled clients, what our server counted as refused in each run: {kinds}.")
    worst = results.median("big", "ours", "worst_chunk_ms")
    if worst is not None:
        notes.append(f"* 900 kB up: the longest single turn of the loop is {worst:.2f} ms.")
    return "\n\n" + "\n".join(notes) if notes else ""


def _matrix(results: Results) -> str:
    """Return CPU times of all servers in all scenarios."""
    columns = {
        **dict.fromkeys(("fan100", "fan1000", "fan5000", "fan15000"), CPU),
        **dict.fromkeys(("echo1", "echo8", "poll"), CPU),
        "idle5k": "cpu_us_per_connect",
    }
    shown = {name: metric for name, metric in columns.items() if _has(results, name)}
    rows = [["connect" if name == "idle5k" else name for name in shown]]
    for server in (name for name in results.servers if name in SERVERS):
        cells = []
        for scenario, metric in shown.items():
            value = results.median(scenario, server, metric)
            times = results.ratio(scenario, metric, server, "limit")
            text = NOTHING if value is None else _short(value)
            cells.append(text if times is None else f"{text} ({times:.1f} ×)")
        rows.append([TITLES[server], *cells])
    return _table(rows, "server") if len(rows) > 1 and shown else NOTHING


def _memory(results: Results) -> str:
    shown = [name for name in IDLES.values() if _has(results, name)]
    rows = [[f"{count:,}" for count, name in IDLES.items() if name in shown] + ["5,000 in all"]]
    for server in (name for name in results.servers if name in SERVERS):
        per = [results.median(name, server, "rss_bytes_per_conn") for name in shown]
        whole = results.median("idle5k", server, "rss_kb_connected")
        if any(value is not None for value in per):
            rows.append(
                [
                    TITLES[server],
                    *(NOTHING if value is None else f"{value / 1e3:.1f}" for value in per),
                    NOTHING if whole is None else f"{whole * 1.024e-3:,.0f} MB",
                ]
            )
    return _table(rows, "server") if len(rows) > 1 else NOTHING


def _latencies(results: Results) -> str:
    metrics = ("lat_us_p50", "lat_us_p90", "lat_us_p99", "lat_us_max")
    rows = [["server", "p50", "p90", "p99", "max", "per second", "server CPU", "load CPU"]]
    for scenario, load in LOADS.items():
        for server in results.servers:
            if not load.action or results.median(scenario, server, "lat_us_p50") is None:
                continue
            values = [results.median(scenario, server, metric) or 0 for metric in metrics]
            rates = [
                results.median(scenario, server, metric) or 0
                for metric in ("per_s", "server_cpu_pct", "client_cpu_pct")
            ]
            rows.append(
                [scenario, TITLES[server]]
                + [f"{value / 1e3:.2f}" for value in values]
                + [f"{rates[0]:,.0f}", f"{rates[1]:.0f}%", f"{rates[2]:.0f}%"]
            )
    return _table(rows, "scenario") if len(rows) > 1 else NOTHING


def _has(results: Results, scenario: str) -> bool:
    return any("measured" in record for record in results.records if record["scenario"] == scenario)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _times(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f} ×"


def _table(rows: Sequence[list[str]] | Iterator[list[str]], *head: str) -> str:
    """Return a table; its first row continues the head."""
    first, *rest = rows
    titles = [*head, *first]
    lines = [titles, ["---"] * len(titles), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
