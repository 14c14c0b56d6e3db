"""Django's part of handshakes, besides the view: who is refused, whose requests get to no view, and
what other processes may know of a client's handshake.
"""
