"""Puts the last results into the documentation: tables and pictures, between two marks."""

import re
import subprocess
from pathlib import Path

from benchmarks.places import IMAGES, PERFORMANCE, ROOT, Workshop
from benchmarks.report import report
from benchmarks.results import Results
from benchmarks.servers import Failure, environment

BEGIN, END = "<!-- benchmark table: begin -->", "<!-- benchmark table: end -->"
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
    """Replace the block of the page by the tables, with those pictures that there are."""
    pictures = [
        f"![{title}](images/{name}.png)"
        for name, title in PICTURES.items()
        if (IMAGES / f"{name}.png").exists()
    ]
    block = "\n\n".join([BEGIN, report(results), *pictures, END])
    page = PERFORMANCE.read_text(encoding="utf-8")
    marked = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not marked.search(page):
        raise Failure(f"{PERFORMANCE} has lost the marks {BEGIN} and {END}")
    PERFORMANCE.write_text(marked.sub(lambda _: block, page), encoding="utf-8")
