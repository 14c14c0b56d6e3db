"""Handlers, and what they are registered for."""
