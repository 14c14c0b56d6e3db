"""What the documentation says of speed and memory, measured: see ``run.py``."""
