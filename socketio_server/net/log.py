"""How a client's text is logged, and an exception told from another."""

MAX_LOGGED = 200
"""Characters of a client's text that are logged."""


def show(text: str) -> str:
    """Return a client's text in quotes, escaped and not too long."""
    return repr(text[:MAX_LOGGED])


def place_of(error: BaseException) -> tuple[str, int] | None:
    """Return the file and line in which an exception was raised."""
    trace = error.__traceback__
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename, trace.tb_lineno
