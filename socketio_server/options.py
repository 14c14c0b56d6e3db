"""Every tunable of the server: its unit, its default and the reason for it.

One frozen value, made once when a server starts and handed down through the layers, so that
nothing below Django reads settings. ``conf.py`` fills it from Django's settings (``ping_interval``
is ``SOCKETIO_PING_INTERVAL``), ``checks.py`` judges the values. Wire constants live beside the
types that own them, not here.
"""

from dataclasses import dataclass

DEFAULT_MESSAGE_LOG_FORMAT = '%(REMOTE_ADDR)s - - [%(TIME)s] "Socket.IO %(TYPE)s: %(MESSAGE)s"'


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The server's tunables; times in seconds, sizes in bytes unless the name says otherwise."""

    host: str = "127.0.0.1"
    """Address to listen on when the command names none: this machine only."""

    port: int = 9000
    """Port to listen on when the command names none (django-socketio's)."""

    message_log_format: str | None = DEFAULT_MESSAGE_LOG_FORMAT
    """%-format of the line that is logged per message; ``None`` logs none."""

    events: tuple[str, ...] | None = None
    """Modules with handlers besides the apps' own; ``None``: ``events``, if there is such a
    module."""

    transports: tuple[str, ...] = ("polling", "websocket")
    """Transports that clients may use."""

    allowed_origins: tuple[str, ...] = ()
    """Origins allowed besides the request's own host, as ``scheme://host[:port]``; ``*`` is any."""

    middleware: tuple[str, ...] = ()
    """Dotted paths of what wraps every event, outermost first."""

    ping_interval: float = 25.0
    """Time between heartbeats: below the 30 to 60 s after which proxies drop silent connections."""

    ping_timeout: float = 20.0
    """How long a heartbeat may go unanswered; with the interval, a dead client is noticed in 45
    s."""

    connect_timeout: float = 45.0
    """How long a session may last without joining a namespace (the reference server's value)."""

    upgrade_timeout: float = 10.0
    """How long a probing WebSocket may take to finish its upgrade (the reference server's
    value)."""

    head_timeout: float = 10.0
    """How long the head of an HTTP request may take to arrive."""

    body_timeout: float = 10.0
    """How long a request's body may stand still, and that of a polling request take in all."""

    keep_alive_timeout: float = 5.0
    """How long an HTTP connection may be idle between two requests."""

    close_timeout: float = 2.0
    """How long the peer may take to answer a WebSocket close, or to stop sending after the last
    answer of an HTTP connection, before the connection is cut."""

    drain_timeout: float = 10.0
    """How long a shutdown may take in all before the process goes without its clients' handlers."""

    compression_threshold: int | None = 1024
    """Size from which answers to polls are compressed, where the client takes it; ``None``:
    never."""

    max_payload: int = 1_000_000
    """Size of one incoming message or polling payload (the reference server's
    ``maxHttpBufferSize``)."""

    max_packets_per_payload: int = 50_000
    """Packets in one polling payload: the official clients send all that waits in one, so that a
    low limit would cut off an honest page that sends a lot at once (twenty messages, say, against
    16)."""

    max_fragments: int = 1024
    """Frames of one fragmented WebSocket message, so that tiny fragments can't cost unbounded
    work."""

    max_attachments: int = 10
    """Binary attachments of one packet (the reference parser's value)."""

    max_channels: int = 256
    """Channels that one socket may hold through subscriptions of its client."""

    max_channel_length: int = 128
    """Characters of a channel's or namespace's name."""

    max_namespaces: int = 16
    """Namespaces that one client may join."""

    max_queued_bytes: int = 1_000_000
    """Bytes that may wait for one client; beyond it the client is closed, never silently
    skipped."""

    max_queued_packets: int = 1000
    """Packets that may wait for one polling client; beyond it the client is closed."""

    max_connections: int = 10_000
    """Connections of one process; never more than 80% of its descriptors."""

    max_connections_per_address: int = 100
    """Connections of one address; loopback and ``trusted_proxies`` are exempt."""

    max_handshakes_per_address: int = 200
    """Handshakes of one address at once, ten more a second after that; the same are exempt."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses of reverse proxies, behind which all clients seem to have one address."""

    max_packet_rate: int = 1000
    """Packets a second that one client may go on sending; beyond it, reading pauses."""

    max_packet_burst: int = 50_000
    """Packets that one client may send at once, above that rate."""

    max_websocket_pings: int = 20
    """WebSocket pings of one client in a second; beyond it the client is closed."""

    cookie: str | None = "socketio"
    """How the name of the cookie begins that binds a polling session to its browser; ``None`` sets
    none."""

    per_message_deflate: bool = False
    """Whether WebSocket messages may be compressed: costs time and memory for every client."""

    allow_eio3: bool = False
    """Whether clients of Engine.IO 3 (``socket.io-client`` 2.x) are let in as well."""

    stall_timeout: float = 10.0
    """How long queued bytes may wait without any progress before the client is closed."""

    send_buffer: int = 131_072
    """``SO_SNDBUF`` per connection: the kernel would otherwise hide megabytes per stalled
    client."""

    max_pending_events: int = 64
    """Events of one socket that may wait for its handlers; at that, its client is not read from."""

    max_events_per_turn: int = 50
    """Frames or events that one connection may have handled before the others get their turn."""

    max_time_per_turn: float = 0.010
    """How long one connection may keep the loop before the others get their turn."""

    database_idle_timeout: float = 1.0
    """How long a database connection of handlers may be idle before it is closed, where
    ``CONN_MAX_AGE`` would have it closed at once: with SQLite, opening one for each event takes
    longer than a query (measured), with a server over the network much longer."""

    max_concurrent_handlers: int = 1000
    """Handlers that may run side by side; each may hold a greenlet and a database connection."""
