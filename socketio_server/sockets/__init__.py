"""What handlers hold: sockets, their channels, and everything sent to their clients."""
