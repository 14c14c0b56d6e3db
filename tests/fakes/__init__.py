"""Stand-ins for what the package's parts are given, by layer: loops, peers, recorders of calls."""
