"""Tries of several workers with thousands of clients, and of what breaks, by hand."""
