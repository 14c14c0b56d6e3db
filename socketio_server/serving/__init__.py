"""A running server: its parts put together, and Django's part around an event."""
