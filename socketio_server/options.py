"""Every tunable of the server: its unit, default, valid values, and the reason for it.

One frozen value, made when a server starts and passed down through the layers, because nothing
below Django reads settings. ``conf.py`` fills it from Django's settings (``ping_interval`` is
``SOCKETIO_PING_INTERVAL``), and validates each setting by the annotation of its field. Constants of
the wire stand beside the types that own them.
"""

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

DEFAULT_MESSAGE_LOG_FORMAT = '%(REMOTE_ADDR)s - - [%(TIME)s] "Socket.IO %(TYPE)s: %(MESSAGE)s"'

# Types of the values. A description completes "must be …" in the message about an invalid value.

_FINITE = sys.float_info.max
_Text = Annotated[str, Meta(min_length=1)]

Flag = Annotated[bool, Meta(description="True or False")]
Number = Annotated[int, Meta(ge=1, description="a whole number above 0")]
Seconds = Annotated[float, Meta(gt=0, le=_FINITE, description="a number of seconds above 0")]
SecondsOrZero = Annotated[float, Meta(ge=0, le=_FINITE, description="a number of seconds, or 0")]
BytesOrNone = Annotated[
    Annotated[int, Meta(ge=0)] | None, Meta(description="a number of bytes, or None")
]
SecondsOrZeroOrNone = Annotated[
    Annotated[float, Meta(ge=0, le=_FINITE)] | None,
    Meta(description="a number of seconds, 0 or None"),
]
Host = Annotated[_Text, Meta(description="the name or address of a host")]
Port = Annotated[int, Meta(ge=0, le=65_535, description="a port number from 0 to 65535")]
PublicUrl = Annotated[
    Annotated[str, Meta(pattern=r"\A(https?://([A-Za-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?)?\Z")]
    | None,
    Meta(description='a URL without a path as "https://live.example.com", "" or None'),
]
Transports = Annotated[
    tuple[Literal["polling", "websocket"], ...],
    Meta(min_length=1, description='a list of "polling", "websocket" or both'),
]
Node = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9]{0,32}\Z", description="a name of up to 32 letters and digits")
]
LogFormat = Annotated[_Text | None, Meta(description="a %-format or None")]
CookieName = Annotated[_Text | None, Meta(description="a cookie's name, or None")]
ModulesOrNone = Annotated[
    tuple[Annotated[str, Meta(pattern=r"\A\w+(\.\w+)*\Z")], ...] | None,
    Meta(description="a list of modules' dotted names or None"),
]
Paths = Annotated[
    tuple[Annotated[str, Meta(pattern=r"\A\w+(\.\w+)+\Z")], ...],
    Meta(description="a list of dotted paths"),
]
BrokerUrl = Annotated[
    Annotated[str, Meta(pattern=r"\A(rediss?(\+sentinel)?)://[^\s/?#]+\S*\Z|\Aunix://\S*/\S+\Z")]
    | None,
    Meta(
        description=(
            "a URL as redis://host:6379/0, rediss://host:6379/0, unix:///path/to/redis.sock or "
            "redis+sentinel://host:26379/service/0, or None"
        )
    ),
]
SubscribeDefault = Annotated[Literal["allow", "deny"], Meta(description='"allow" or "deny"')]
Prefix = Annotated[_Text, Meta(description="the beginning of names in Redis")]
Networks = Annotated[
    tuple[str, ...], Meta(description='a list of IP addresses and networks as "192.0.2.0/24"')
]
Origins = Annotated[
    tuple[_Text, ...], Meta(description='a list of origins as "https://example.com", or ["*"]')
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The server's tunables; times in seconds, sizes in bytes unless the name says otherwise."""

    # --- Address and protocols ----------------------------------------------------------------

    host: Host = "127.0.0.1"
    """Address to listen on if the command is given none: this machine only."""

    port: Port = 9000
    """Port to listen on if the command is given none (django-socketio's)."""

    public_url: PublicUrl = None
    """Where pages find the server, whichever program renders them: ``scheme://host[:port]``; empty:
    at the page's own host, where a proxy passes on the server's path; ``None``: there if the server
    itself rendered the page, otherwise at ``port``."""

    transports: Transports = ("polling", "websocket")
    """Transports that clients may use."""

    node: Node = ""
    """Name of this machine where there are several, the beginning of every ``sid``: a proxy before
    them chooses the machine by it."""

    allow_eio3: Flag = False
    """Whether clients of Engine.IO 3 (``socket.io-client`` 2.x) are let in as well."""

    compression_threshold: BytesOrNone = 1024
    """Size from which answers to polls are compressed, if the client accepts it; ``None``:
    never."""

    per_message_deflate: Flag = False
    """Whether WebSocket messages may be compressed; costs time and memory for every client."""

    # --- The project's code -------------------------------------------------------------------

    events: ModulesOrNone = None
    """Modules with handlers besides those of the apps; ``None``: ``events``, if it exists."""

    middleware: Paths = ()
    """Dotted paths of the middleware around every event, outermost first."""

    message_log_format: LogFormat = DEFAULT_MESSAGE_LOG_FORMAT
    """%-format of the log line of each message; ``None`` logs none."""

    on_commit: Flag = False
    """Whether what is sent inside of a database transaction waits for its commit, and is dropped by
    a rollback; django-socketio sent at once."""

    refresh_interval: SecondsOrZeroOrNone = 10.0
    """How old ``request.user`` and ``request.session`` may be at the begin of an event whose
    handlers use them, because each reading takes two queries; ``None``: as old as the connection.
    """

    max_concurrent_handlers: Number = 1000
    """Handlers that may run side by side; each may hold a greenlet and a database connection
    (see ``docs/how-to/databases.md``)."""

    database_idle_timeout: SecondsOrZero = 1.0
    """How long a connection of handlers to SQLite may be idle before it is closed, if
    ``CONN_MAX_AGE`` would close it after each event, because opening one takes longer than most
    queries. Connections to other databases are closed as Django does, because their servers limit
    the number of connections."""

    # --- Several processes --------------------------------------------------------------------

    broker_url: BrokerUrl = None
    """The Redis that carries messages between processes; ``None``: the server is one process."""

    broker_prefix: Prefix = "socket.io"
    """Beginning of the names of Redis's channels: the option ``key`` of Node's adapter. It keeps
    servers apart that share a Redis, which the number of a database does not."""

    broker_shared_with_node: Flag = False
    """Whether servers of Node take part; then clients may subscribe to no channel whose name could
    be the id of one of their sockets."""

    broker_max_queued_bytes: Number = 16_000_000
    """Bytes that may wait for Redis; beyond it, messages to other processes are dropped."""

    share_query: Flag = False
    """Whether other processes are told the query string with which a client has connected, which
    may hold tokens."""

    # --- Limits: who may connect --------------------------------------------------------------

    allowed_origins: Origins = ()
    """Allowed origins besides the request's own host, as browsers write them in their header:
    ``scheme://host[:port]``, ``null`` or ``file://``; ``*`` is any."""

    subscribe_default: SubscribeDefault = "allow"
    """Whether clients may subscribe to a channel that no ``authorize`` handler is for;
    django-socketio let them."""

    recheck_interval: SecondsOrZero = 60.0
    """Time between two looks whether the rights of connected users have changed, where no signal of
    Django's has told; 0: never."""

    cookie: CookieName = "socketio"
    """Beginning of the name of the cookie that binds a polling session to its browser; ``None``
    sets no cookie."""

    # --- Limits: connections ------------------------------------------------------------------

    max_connections: Number = 10_000
    """Connections of one process; never more than 80 % of its file descriptors."""

    max_sessions: Number = 20_000
    """Sessions of one process: one over polling has no connection between two requests, and may
    hold messages for ``stall_timeout`` or more."""

    max_connections_per_address: Number = 100
    """Connections of one address, or of one /64 network in IPv6; loopback and ``trusted_proxies``
    are exempt."""

    max_handshakes_per_address: Number = 200
    """Handshakes of one address at once, and ten more a second; with the same exemptions."""

    trusted_proxies: Networks = ()
    """Addresses of reverse proxies, or networks that they are in, because all clients behind one
    share its address."""

    # --- Limits: seconds of silence -----------------------------------------------------------

    ping_interval: Seconds = 25.0
    """Time between heartbeats: below the 30 to 60 s after which proxies drop silent connections."""

    ping_timeout: Seconds = 20.0
    """How long a heartbeat may go unanswered; with the interval, a dead client is noticed within
    45 s."""

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
    """How long the body of a polling request may take to arrive, and any other body may pause."""

    keep_alive_timeout: Seconds = 5.0
    """How long an HTTP connection may be idle between two requests."""

    stall_timeout: Seconds = 10.0
    """How long queued bytes may wait without any progress before the client is closed."""

    download_timeout: Seconds = 300.0
    """How long the client of an ordinary HTTP answer may pause: a player that has enough of a video
    reads nothing for minutes, and keeps nobody else waiting."""

    max_lag: Seconds = 30.0
    """How long a message may wait for a client that reads less than 16 kB a second, before the
    client is closed: it would only fall further behind."""

    close_timeout: Seconds = 2.0
    """How long the peer may take to answer a WebSocket close, or to stop sending after the last
    answer of an HTTP connection, before the connection is cut."""

    drain_timeout: Seconds = 10.0
    """How long a shutdown may take in all; after it the process ends without the last handlers."""

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
    """Characters of JSON that one client may send as ``auth``, for all its sockets together: room
    for a token and little more, because ``auth`` is kept as long as the socket."""

    max_pending_bytes: Number = 1_048_576
    """Bytes of one client's packets that may wait for its handlers, about one message of
    ``max_payload``; beyond it, reading from the client pauses until half of them are handled."""

    max_pending_total: Number = 67_108_864
    """Bytes of all clients' packets that may wait for handlers, for their own rest or as answers,
    with ``auth``, large handshakes, and very many channels and acknowledgements; beyond it, the
    client with the most is closed."""

    max_decoded_total: Number = 50_331_648
    """Bytes, estimated, that packets of all clients may take once they are decoded, until their
    handlers have ended; beyond it, packets wait to be decoded. Those of up to 32 KiB are not
    counted; those of up to 1 MiB have half of it for themselves."""

    high_water: Number = 262_144
    """The high-water mark: bytes that may wait for one client before senders to it alone must wait.
    Twice the kernel's buffer, so that the client always has bytes to read. Half of
    ``max_queued_bytes``, if that is less."""

    max_queued_bytes: Number = 16_000_000
    """Bytes that may wait for one client; beyond it, the client is closed, because no message is
    dropped silently."""

    max_queued_total: Number = 80_000_000
    """Bytes that may wait for all clients of the process, shared ones counted once; beyond it, the
    clients are closed whose going frees most. The largest of this, ``max_pending_total`` and
    ``max_decoded_total`` is a bound for all of it together: usually one of them is much while the
    others are little, and the sum would take more memory than a process should have."""

    send_buffer: Number = 131_072
    """``SO_SNDBUF`` of each connection, because the kernel would buffer megabytes for a stalled
    client."""

    # --- Limits: CPU time ---------------------------------------------------------------------

    max_handlers_per_client: Number = 4
    """Handlers of one client that may run side by side, at most one in each of its namespaces;
    otherwise a client in many namespaces could take all handlers."""

    max_packet_rate: Number = 1000
    """Packets a second that one client may send in the long run; beyond it, reading pauses."""

    max_packet_burst: Number = 50_000
    """Packets that one client may send at once, above that rate."""

    max_packets_per_payload: Number = 50_000
    """Packets in one polling payload; high, because the official clients put all waiting packets
    into one payload."""

    max_fragments: Number = 1024
    """Frames of one fragmented WebSocket message, because tiny fragments would cost unbounded
    work."""

    max_websocket_pings: Number = 20
    """WebSocket pings of one client in a second; beyond it, the client is closed."""

    max_events_per_turn: Number = 50
    """Frames or events of one connection that are handled before other connections get a turn."""

    max_time_per_turn: Seconds = 0.010
    """How long one connection may keep the loop before other connections get a turn."""
