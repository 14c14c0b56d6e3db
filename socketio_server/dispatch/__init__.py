"""Packets become events, and events become calls of handlers."""
