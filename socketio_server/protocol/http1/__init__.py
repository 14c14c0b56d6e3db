"""HTTP/1.1 without I/O: heads and bodies of requests, and the engine's responses."""
