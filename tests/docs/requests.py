"""What visitors of a project's pages ask of its views."""

import urllib.parse
import urllib.request

from tests.support.server import Server


def get(server: Server, path: str) -> str:
    """Fetch a page."""
    with urllib.request.urlopen(server.url + path, timeout=20) as response:
        return str(response.read().decode())


def post(server: Server, path: str, **form: str) -> str:
    """Send a form as a page of the site's would; return the answer."""
    token = "t" * 32
    request = urllib.request.Request(
        server.url + path,
        urllib.parse.urlencode(form).encode(),
        {"Cookie": f"csrftoken={token}", "X-CSRFToken": token},
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return str(response.read().decode())
