"""TCP on the event loop, and what the layers above share: deadlines, workers, rates, counters."""
