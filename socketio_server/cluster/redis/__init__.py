"""The broker through Redis, on the wire of Node's Redis adapter: for servers, and for processes
that run none.
"""
