"""The worker class for gunicorn: ``gunicorn mysite.wsgi -k socketio_server.gunicorn.Worker``.

gunicorn imports this module before it forks workers, and before it imports the project, also with
``--preload``. Therefore gevent patches the standard library here; all but forks and signals, with
which the arbiter watches its workers. Each worker patches these, too.
"""

from gevent import monkey

monkey.patch_all(os=False, signal=False)

from socketio_server import __version__, conf  # noqa: E402
from socketio_server.serving.gunicorn import ServerWorker  # noqa: E402


class Worker(ServerWorker):
    """Serves the project's HTTP and Socket.IO in one of gunicorn's processes."""

    version = __version__
    read_options = staticmethod(conf.options)
