"""WebSocket without I/O (RFC 6455, RFC 7692): frames, a parser of clients' bytes, compression."""
