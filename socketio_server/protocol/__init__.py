"""The protocols: bytes in, values out."""
