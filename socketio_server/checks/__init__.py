"""System checks: report mistakes of the project before the server starts.

Identifiers are stable: ``socketio_server.E…`` keeps the server from starting, ``W…`` does not.
"""

from socketio_server.checks import databases, handlers, origins, processes, settings, urls

CHECKS = (
    settings.check_settings,
    settings.check_limits,
    urls.check_urls,
    urls.check_bundle,
    settings.check_middleware,
    databases.check_connections,
    origins.check_origins,
    origins.check_public_url,
    databases.check_database_drivers,
    settings.check_debug,
    databases.check_sessions,
    processes.check_broker,
    processes.check_caches,
    processes.check_namespaces,
    handlers.check_decorators,
    handlers.check_authorize,
    handlers.check_event_names,
)
"""All checks but those that are for ``--deploy``."""

DEPLOY_CHECKS = (processes.check_broker_prefix, handlers.check_unguarded_channels)
"""Checks that run with ``--deploy`` only."""
