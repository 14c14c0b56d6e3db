"""Puts the last results into the documentation: tables and pictures, between two marks."""

import re
import subprocess
from pathlib import Path

from benchmarks.places import IMAGES, PERFORMANCE, ROOT, Workshop
from benchmarks.report import report_cluster, report_single
from benchmarks.results import Results
from benchmarks.scenarios import CLUSTER, NAMES
from benchmarks.servers import Failure, environment

BEGIN, END = "<!-- {} table: begin -->", "<!-- {} table: end -->"
PICTURES = {
    "benchmark-cpu": "CPU time of the server per delivery, by number of subscribers",
    "benchmark-latency": "Latency of a fan-out, by number of subscribers",
    "benchmark-memory": "Memory of the server, by number of connections",
}


def draw(workshop: Workshop, results: Path, folder: Path) -> None:
    """Draw the plots of what was measured last into a folder."""
    command = [str(workshop.python), "-m", "benchmarks.plots", str(results), str(folder)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment(workshop),
        cwd=ROOT,
        check=False,
    )
    if done.returncode:
        raise Failure(f"the plots could not be drawn:\n{done.stderr}")


def write(results: Results) -> None:
    """Replace the blocks of the page by the tables, with those pictures that there are.

    A block stays as it is where none of its scenarios were measured.
    """
    single, cluster = report_single(results.of(NAMES)), report_cluster(results.of(CLUSTER))
    pictures = [
        f"![{title}](images/{name}.png)"
        for name, title in PICTURES.items()
        if (IMAGES / f"{name}.png").exists()
    ]
    page = PERFORMANCE.read_text(encoding="utf-8")
    if single:
        page = _replace(page, "benchmark", [single, *pictures])
    if cluster:
        page = _replace(page, "cluster", [cluster])
    PERFORMANCE.write_text(page, encoding="utf-8")


def _replace(page: str, name: str, parts: list[str]) -> str:
    """Return the page with other content between the marks of that name."""
    begin, end = BEGIN.format(name), END.format(name)
    marked = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    if not marked.search(page):
        raise Failure(f"{PERFORMANCE} has lost the marks {begin} and {end}")
    block = "\n\n".join([begin, *parts, end])
    return marked.sub(lambda _: block, page)
