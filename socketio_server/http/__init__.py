"""HTTP/1.1 on the event loop: the engine answers what carries a sid, Django everything else."""
