"""Sockets, their channels, and the delivery of messages to their clients."""
