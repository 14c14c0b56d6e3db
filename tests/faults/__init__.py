"""What the server does under attack: it stays up, answers the others, and keeps nothing.

Each test does something hostile to a server in a process of its own, while a bystander in a further
process asks questions and notes how long the answers take (``watch.py``). At the end pytest prints
a table of all that was tried.

Random input comes from a seed, which a failure tells: ``FAULTS_SEED=…`` repeats it, and
``FAULTS_SCALE=10`` tries ten times as much.
"""

import pytest

pytest.register_assert_rewrite("tests.faults.watch", "tests.faults.crowd")
