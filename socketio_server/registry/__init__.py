"""The registered handlers, their events, channels, namespaces and types."""
