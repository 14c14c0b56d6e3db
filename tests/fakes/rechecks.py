"""What rechecks are given, counted."""


class CountingHooks:
    """Counts what is done around the work (``WorkHooks``)."""

    def __init__(self) -> None:
        self.entered = self.left = 0

    def before_event(self) -> None:
        self.entered += 1

    def release(self) -> None:
        self.left += 1
