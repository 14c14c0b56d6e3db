"""How the packets of a session travel: HTTP long-polling and WebSocket."""
