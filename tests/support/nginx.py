"""nginx before a server under test."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from tests.support.tools import PATIENCE, require, wait_until

NGINX = which("nginx") or which("nginx", path="/usr/sbin")
"""Where Debian has it, which is in the ``PATH`` of administrators only."""

_SURROUNDINGS = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    types {{ text/javascript js; }}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
{site}
}}
"""


@contextmanager
def nginx(folder: Path, site: str, answers: Callable[[], object]) -> Iterator[None]:
    """Run nginx.

    :param folder: where its files go.
    :param site: what stands in ``http`` of its configuration.
    :param answers: whether it does; may raise ``ConnectionRefusedError`` until it does.
    """
    require("nginx", found=NGINX is not None)
    path, log = folder / "nginx.conf", folder / "log"
    path.write_text(_SURROUNDINGS.format(folder=folder, site=site))
    with log.open("w") as output:
        process = subprocess.Popen([str(NGINX), "-p", folder, "-c", path], stderr=output)

    def serves() -> object:
        assert process.poll() is None, log.read_text()
        try:
            return answers()
        except ConnectionRefusedError:
            return False

    try:
        wait_until(serves, "nginx")
        yield
    finally:
        process.kill()
        process.wait(PATIENCE)
