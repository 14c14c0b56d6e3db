"""The Autobahn test suite, run by hand: ``python -m tests.autobahn --help``.

It is a program for Python 2 that wants its messages echoed as they are, so it is no part of the
ordinary tests; what its cases are about is told again in ``tests/live/test_rfc6455.py``.
"""
