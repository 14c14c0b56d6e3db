"""The limit for a client's text in the log."""

MAX_LOGGED = 200
"""Characters of a client's text that are logged."""
