"""The transports that carry a session's packets: HTTP long-polling and WebSocket."""
