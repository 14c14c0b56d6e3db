"""What a project forks is no second server, and gets nothing of it but copies."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from tests.support.server import ROOT


def run(script: str, folder: Path) -> None:
    """Run a script in a process of its own, because what it does at a fork stays for good."""
    subprocess.run(
        [sys.executable, "-c", dedent(script)],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        check=True,
        timeout=50,
    )


class TestForkedProcesses:
    def test_one_does_not_listen(self, tmp_path: Path) -> None:
        run(
            """
            import os

            from gevent import socket

            from socketio_server.serving.process import forks

            listener = socket.create_server(("127.0.0.1", 0))
            forks.install([listener], list)
            if child := os.fork():
                assert os.waitpid(child, 0)[1] == 0
                assert listener.getsockname()[1]
            else:
                os._exit(bool(listener.getsockname()))
            """,
            tmp_path,
        )

    def test_one_that_is_forked_while_the_server_stops_keeps_its_own_files(
        self, tmp_path: Path
    ) -> None:
        run(
            """
            import os

            from gevent import sleep, socket

            from socketio_server.serving.process import forks

            listener = socket.create_server(("127.0.0.1", 0))
            forks.install([listener], list)
            descriptor = listener.fileno()
            listener.close()
            sleep(0)
            with open("file", "w") as file:
                assert file.fileno() == descriptor
                if child := os.fork():
                    assert os.waitpid(child, 0)[1] == 0
                else:
                    print("written by the child", file=file, flush=True)
                    os._exit(0)
            """,
            tmp_path,
        )
        assert (tmp_path / "file").read_text() == "written by the child\n"

    def test_one_of_a_later_server_does_not_listen_either(self, tmp_path: Path) -> None:
        run(
            """
            import os

            from gevent import socket

            from socketio_server.serving.process import forks

            first = socket.create_server(("127.0.0.1", 0))
            forks.install([first], list)
            second = socket.create_server(("127.0.0.1", 0))
            forks.install([second], list)
            if child := os.fork():
                assert os.waitpid(child, 0)[1] == 0
            else:
                os._exit(bool(second.getsockname()))
            """,
            tmp_path,
        )
