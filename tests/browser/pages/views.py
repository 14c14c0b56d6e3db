"""The pages that the tests drive."""

import secrets

from django.http import HttpRequest
from django.template.response import TemplateResponse


def page(request: HttpRequest, name: str) -> TemplateResponse:
    """Show a page that needs nothing but its template."""
    return TemplateResponse(request, f"pages/{name}.html")


def strict(request: HttpRequest) -> TemplateResponse:
    """Show a page on which only scripts with the nonce run, which is where django-csp has it."""
    nonce = secrets.token_urlsafe()
    request.csp_nonce = nonce  # type: ignore[attr-defined]
    policy = f"default-src 'none'; script-src 'nonce-{nonce}'; connect-src 'self'"
    return TemplateResponse(
        request, "pages/strict.html", headers={"Content-Security-Policy": policy}
    )
