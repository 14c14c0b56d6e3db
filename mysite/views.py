"""The demo project's one page."""

from django.http import HttpRequest
from django.template.response import TemplateResponse

# No inline script or style; a connection to anywhere, since the server may be on another port.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src *; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def index(request: HttpRequest) -> TemplateResponse:
    """Show the page; everything else happens over Socket.IO."""
    return TemplateResponse(
        request, "index.html", headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    )
