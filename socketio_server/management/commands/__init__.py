"""The command ``runserver_socketio``."""
