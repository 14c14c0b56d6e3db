"""How a client's text is logged."""

MAX_LOGGED = 200
"""Characters of a client's text that are logged."""


def show(text: str) -> str:
    """Return a client's text in quotes, escaped and not too long."""
    return repr(text[:MAX_LOGGED])
