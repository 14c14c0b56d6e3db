"""How much of a client's text is logged."""

MAX_LOGGED = 200
"""Characters of a client's text that are logged."""
