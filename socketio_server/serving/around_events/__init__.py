"""Django's part around handlers: database connections, locale, message log."""
