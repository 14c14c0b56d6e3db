"""A running server: its parts put together, and what Django does around an event."""
