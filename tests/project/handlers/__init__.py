"""Modules with handlers, of which a test chooses with ``SOCKETIO_EVENTS``."""
