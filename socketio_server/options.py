"""Every tunable of the server: its unit, its default, the reason for it, and what it may be.

One frozen value, made once when a server starts and handed down through the layers, so that
nothing below Django reads settings. ``conf.py`` fills it from Django's settings (``ping_interval``
is ``SOCKETIO_PING_INTERVAL``), and validates each setting by the annotation of its field. Wire
constants live beside the types that own them, not here.
"""

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

DEFAULT_MESSAGE_LOG_FORMAT = '%(REMOTE_ADDR)s - - [%(TIME)s] "Socket.IO %(TYPE)s: %(MESSAGE)s"'

# What values may be. A description completes "must be …" in the message about a bad one.

_FINITE = sys.float_info.max
_Text = Annotated[str, Meta(min_length=1)]
_Origin = Annotated[str, Meta(pattern=r"\A(\*|[a-z][a-z0-9+.-]*://[^/?#\s]+)\Z")]

Flag = Annotated[bool, Meta(description="True or False")]
Number = Annotated[int, Meta(ge=1, description="a whole number above 0")]
Seconds = Annotated[float, Meta(gt=0, le=_FINITE, description="a number of seconds above 0")]
SecondsOrZero = Annotated[float, Meta(ge=0, le=_FINITE, description="a number of seconds, or 0")]
BytesOrNone = Annotated[
    Annotated[int, Meta(ge=0)] | None, Meta(description="a number of bytes, or None")
]
Host = Annotated[_Text, Meta(description="the name or address of a host")]
Port = Annotated[int, Meta(ge=0, le=65_535, description="a port number from 0 to 65535")]
Transports = Annotated[
    tuple[Literal["polling", "websocket"], ...],
    Meta(min_length=1, description='a list of "polling", "websocket" or both'),
]
LogFormat = Annotated[_Text | None, Meta(description="a %-format or None")]
CookieName = Annotated[_Text | None, Meta(description="a cookie's name, or None")]
ModulesOrNone = Annotated[
    tuple[str, ...] | None, Meta(description="a list of modules' dotted names or None")
]
Paths = Annotated[tuple[str, ...], Meta(description="a list of dotted paths")]
Addresses = Annotated[tuple[str, ...], Meta(description="a list of addresses")]
Origins = Annotated[
    tuple[_Origin, ...], Meta(description='a list of origins as "https://example.com", or ["*"]')
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The server's tunables; times in seconds, sizes in bytes unless the name says otherwise."""

    # --- Where it listens, and what it speaks -------------------------------------------------

    host: Host = "127.0.0.1"
    """Address to listen on when the command names none: this machine only."""

    port: Port = 9000
    """Port to listen on when the command names none (django-socketio's)."""

    transports: Transports = ("polling", "websocket")
    """Transports that clients may use."""

    allow_eio3: Flag = False
    """Whether clients of Engine.IO 3 (``socket.io-client`` 2.x) are let in as well."""

    compression_threshold: BytesOrNone = 1024
    """Size from which answers to polls are compressed, where the client takes it; ``None``:
    never."""

    per_message_deflate: Flag = False
    """Whether WebSocket messages may be compressed: costs time and memory for every client."""

    # --- The project's code -------------------------------------------------------------------

    events: ModulesOrNone = None
    """Modules with handlers besides the apps' own; ``None``: ``events``, if there is such a
    module."""

    middleware: Paths = ()
    """Dotted paths of what wraps every event, outermost first."""

    message_log_format: LogFormat = DEFAULT_MESSAGE_LOG_FORMAT
    """%-format of the line that is logged per message; ``None`` logs none."""

    max_concurrent_handlers: Number = 1000
    """Handlers that may run side by side; each may hold a greenlet and a database connection
    (see ``docs/how-to/databases.md``)."""

    database_idle_timeout: SecondsOrZero = 1.0
    """How long a connection of handlers to SQLite may be idle before it is closed, where
    ``CONN_MAX_AGE`` would have it closed after each event: to open one takes longer than most
    queries. All other databases have servers, and these have limits: what Django closes is
    closed."""

    # --- Limits: who may connect --------------------------------------------------------------

    allowed_origins: Origins = ()
    """Origins allowed besides the request's own host, as ``scheme://host[:port]``; ``*`` is any."""

    cookie: CookieName = "socketio"
    """How the name of the cookie begins that binds a polling session to its browser; ``None`` sets
    none."""

    # --- Limits: connections ------------------------------------------------------------------

    max_connections: Number = 10_000
    """Connections of one process; never more than 80% of its descriptors."""

    max_connections_per_address: Number = 100
    """Connections of one address; loopback and ``trusted_proxies`` are exempt."""

    max_handshakes_per_address: Number = 200
    """Handshakes of one address at once, ten more a second after that; the same are exempt."""

    trusted_proxies: Addresses = ()
    """Addresses of reverse proxies, behind which all clients seem to have one address."""

    # --- Limits: seconds of silence -----------------------------------------------------------

    ping_interval: Seconds = 25.0
    """Time between heartbeats: below the 30 to 60 s after which proxies drop silent connections."""

    ping_timeout: Seconds = 20.0
    """How long a heartbeat may go unanswered; with the interval, a dead client is noticed in 45
    s."""

    connect_timeout: Seconds = 45.0
    """How long a session may last without joining a namespace (the reference server's value)."""

    attachment_timeout: Seconds = 10.0
    """How long the attachments of a binary packet may take to arrive."""

    upgrade_timeout: Seconds = 10.0
    """How long a probing WebSocket may take to finish its upgrade (the reference server's
    value)."""

    head_timeout: Seconds = 10.0
    """How long the head of an HTTP request may take to arrive."""

    body_timeout: Seconds = 10.0
    """How long a request's body may stand still, and that of a polling request take in all."""

    keep_alive_timeout: Seconds = 5.0
    """How long an HTTP connection may be idle between two requests."""

    stall_timeout: Seconds = 10.0
    """How long queued bytes may wait without any progress before the client is closed."""

    max_lag: Seconds = 30.0
    """How long something may wait for a client that takes less than 16 kB a second meanwhile,
    before the client is closed: it only falls further behind."""

    close_timeout: Seconds = 2.0
    """How long the peer may take to answer a WebSocket close, or to stop sending after the last
    answer of an HTTP connection, before the connection is cut."""

    drain_timeout: Seconds = 10.0
    """How long a shutdown may take in all before the process goes without its clients' handlers."""

    # --- Limits: bytes held for one client ----------------------------------------------------

    max_payload: Number = 1_000_000
    """Size of one incoming message or polling payload (the reference server's
    ``maxHttpBufferSize``)."""

    max_attachments: Number = 10
    """Binary attachments of one packet (the reference parser's value)."""

    max_namespaces: Number = 16
    """Namespaces that one client may join."""

    max_channels: Number = 256
    """Channels that one socket may hold through subscriptions of its client."""

    max_channel_length: Number = 128
    """Characters of a channel's or namespace's name."""

    max_auth_size: Number = 16_384
    """Characters of JSON that one client may send as ``auth``, of all its sockets together: room
    for a token, and no more, because it is kept as long as they last."""

    max_pending_bytes: Number = 1_048_576
    """Bytes of one client's packets that may wait for its handlers, which is about one message of
    ``max_payload``; at that, the client is not read from until half of it is handled."""

    max_pending_total: Number = 67_108_864
    """Bytes of all clients' packets that may wait for handlers; beyond it the client is closed that
    holds most."""

    high_water: Number = 262_144
    """Bytes that may wait for one client before those who send to it alone have to wait: twice what
    the kernel holds, so that the client is never without something to read."""

    max_queued_bytes: Number = 16_000_000
    """Bytes that may wait for one client; beyond it the client is closed, never silently
    skipped."""

    max_queued_total: Number = 96_000_000
    """Bytes that may wait for all clients of the process, what many share counted once; beyond it
    the clients are closed for which something waits longest."""

    send_buffer: Number = 131_072
    """``SO_SNDBUF`` per connection: the kernel would otherwise hide megabytes per stalled
    client."""

    # --- Limits: CPU time ---------------------------------------------------------------------

    max_handlers_per_client: Number = 4
    """Handlers of one client that may run side by side, one for each namespace that it is in: a
    client of many namespaces does not get more than a few of all handlers."""

    max_packet_rate: Number = 1000
    """Packets a second that one client may go on sending; beyond it, reading pauses."""

    max_packet_burst: Number = 50_000
    """Packets that one client may send at once, above that rate."""

    max_packets_per_payload: Number = 50_000
    """Packets in one polling payload: the official clients send all that waits in one, so that a
    low limit would cut off an honest page that sends a lot at once (twenty messages, say, against
    16)."""

    max_fragments: Number = 1024
    """Frames of one fragmented WebSocket message, so that tiny fragments can't cost unbounded
    work."""

    max_websocket_pings: Number = 20
    """WebSocket pings of one client in a second; beyond it the client is closed."""

    max_events_per_turn: Number = 50
    """Frames or events that one connection may have handled before the others get their turn."""

    max_time_per_turn: Seconds = 0.010
    """How long one connection may keep the loop before the others get their turn."""
