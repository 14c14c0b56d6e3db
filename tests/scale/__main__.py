"""Tries several workers with thousands of clients, or lets things break: run by hand.

From the repository's folder, on Linux with a ``redis-server``::

    .venv/bin/python -m tests.scale restart --clients 2000 --workers 4
    .venv/bin/python -m tests.scale crowd --clients 10000 --workers 4
    .venv/bin/python -m tests.scale faults
    .venv/bin/python -m tests.scale machines      # as root, with nginx and Node.js

Each prints a table. ``restart`` sends gunicorn a ``HUP``. ``crowd`` has clients poll and upgrade
over connections that they share: most requests find theirs at another worker. ``faults`` kills and
stops Redis and workers. ``machines`` sets up two hosts in network namespaces behind an nginx, and
lets one after the other die.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import resource  # noqa: E402

from tests.scale import crowd, faults, machines, restart  # noqa: E402

TRIES = {"restart": restart, "crowd": crowd, "faults": faults, "machines": machines}
CLIENTS = {"restart": 2000, "crowd": 10_000, "faults": 200, "machines": 40}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=TRIES)
    parser.add_argument("--clients", type=int)
    parser.add_argument("--workers", type=int, default=4)
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    TRIES[given.name].main(given.clients or CLIENTS[given.name], given.workers)


if __name__ == "__main__":
    main()
