"""Examines a running site from outside, as browsers come to it: ``manage.py socketio_doctor URL``.

``examination`` has the steps, and ``remedies`` what each finds wrong, with the lines of nginx's
configuration to change. ``site`` makes requests, ``polling`` and ``websocket`` have sessions, over
blocking sockets, because the command runs in a process that gevent has not patched. What only the
server knows it tells in its health answer (``socketio_server.health``).
"""
