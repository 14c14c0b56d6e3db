"""HTTP/1.1 on the event loop: the engine answers requests with a sid, Django all others."""
