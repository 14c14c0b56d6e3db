"""Django's part around handlers: database connections, users and sessions, locale, signals, and the
log of messages.
"""
