"""Runs the Autobahn test suite against the package's WebSocket layers, and says what came of it.

``autobahntestsuite`` is on PyPI, and needs Python 2.7 with ``virtualenv``, here in ``/tmp``::

    python2.7 -m pip install --user "virtualenv<20.22"
    python2.7 -m virtualenv /tmp/autobahn
    /tmp/autobahn/bin/pip install autobahntestsuite==0.8.2

Then, from the repository's folder, half a minute without compression, and ten or more with it::

    .venv/bin/python -m tests.autobahn --wstest /tmp/autobahn/bin/wstest
    .venv/bin/python -m tests.autobahn --wstest /tmp/autobahn/bin/wstest --deflate

Or only some cases, with the suite's pages on each::

    .venv/bin/python -m tests.autobahn --wstest … --reports /tmp/reports "6.*" "7.9.*"

What is not simply ``OK`` is listed. Exits with 1 if a case failed: one that is not as the standard
wants it, or one that the server does not implement, other than compression where that is off.

Two kinds of result are no failures:

* ``NON-STRICT`` (6.4.3 and 6.4.4): text that goes wrong in the midst of a frame is refused when all
  of the frame is there, and not at that very byte. Section 8.1 sets no time for it, and a frame is
  no larger than ``SOCKETIO_MAX_PAYLOAD``. Between the frames of a message it is refused at once
  (6.4.1 and 6.4.2).
* ``INFORMATIONAL``: the suite looks what a server does where the standard leaves it open. A message
  with the close right behind it (7.1.6) is answered before the close is; a close with a code beyond
  4999 (7.13.1 and 7.13.2) is refused with 1002.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.autobahn.process import echo_server
from tests.support.server import Address

OK = "OK"
GOOD = {OK, "NON-STRICT", "INFORMATIONAL"}
UNIMPLEMENTED = "UNIMPLEMENTED"
COMPRESSION = ("12.", "13.")

Result = Mapping[str, Any]


def run(wstest: str, address: Address, cases: list[str], folder: Path) -> dict[str, Result]:
    """Run the suite against a server; return each case's result.

    :param folder: where the suite's reports go.
    """
    url = "ws://{}:{}".format(*address)
    server = {"agent": "server", "url": url, "options": {"version": 18}}
    spec = {
        "outdir": str(folder),
        "servers": [server],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    with TemporaryDirectory() as temporary:
        path = Path(temporary, "spec.json")
        path.write_text(json.dumps(spec))
        command = [wstest, "--mode", "fuzzingclient", "--spec", str(path)]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}  # of packages for Python 2
        subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)
    index: dict[str, dict[str, Result]] = json.loads((folder / "index.json").read_text())
    return index["server"]


def is_bad(case: str, result: Result, *, deflates: bool) -> bool:
    """Tell whether a case failed."""
    outcomes = {result["behavior"], result["behaviorClose"]}
    if not deflates and case.startswith(COMPRESSION):
        outcomes.discard(UNIMPLEMENTED)
    return not outcomes <= GOOD


def by_number(item: tuple[str, Result]) -> list[int]:
    """Return the key that puts cases in order."""
    return [int(number) for number in item[0].split(".")]


def report(results: Mapping[str, Result], *, deflates: bool) -> bool:
    """Say what came of it; return whether all is well."""
    failures = 0
    for case, result in sorted(results.items(), key=by_number):
        bad = is_bad(case, result, deflates=deflates)
        failures += bad
        unusual = {result["behavior"], result["behaviorClose"]} - {OK, UNIMPLEMENTED}
        if bad or unusual:
            verdict = "FAILED  " if bad else "        "
            outcome = f"{result['behavior']}, close {result['behaviorClose']}"
            sys.stdout.write(f"{verdict}{case}: {outcome}\n")
    counts = Counter(result["behavior"] for result in results.values())
    summary = ", ".join(f"{count} {behavior}" for behavior, count in sorted(counts.items()))
    compression = "on" if deflates else "off"
    sys.stdout.write(
        f"compression {compression}: {len(results)} cases: {summary}; {failures} failed\n"
    )
    return not failures


def main() -> int:
    """Run it, and return the exit status."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m tests.autobahn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--wstest", default="wstest", help="the suite's command")
    parser.add_argument("--deflate", action="store_true", help="with permessage-deflate")
    parser.add_argument("--reports", type=Path, help="a folder to keep the suite's pages in")
    parser.add_argument("cases", nargs="*", default=["*"], help='which cases, "1.*" say')
    arguments = parser.parse_args()
    with echo_server(deflates=arguments.deflate) as address, TemporaryDirectory() as folder:
        reports = Path(folder, "reports") if arguments.reports is None else arguments.reports
        results = run(arguments.wstest, address, arguments.cases, reports.resolve())
    return 0 if report(results, deflates=arguments.deflate) else 1


if __name__ == "__main__":
    sys.exit(main())
