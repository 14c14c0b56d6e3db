"""The server's own process: patched, started anew, forked, and watched."""
