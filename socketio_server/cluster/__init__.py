"""How what is for several clients leaves the process that it was sent in, and enters others."""
