"""TCP on the event loop, and tools that the layers above share: deadlines, workers, counters."""
