"""The look of an institution as files of their own, because the pages' policy allows no inline style.

A file's address carries the look's version, so browsers may keep it for good.
"""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from exchange.pages import content_security
from exchange.platform.members import branding
from exchange.platform.members.branding import Look
from exchange.platform.members.branding_rules import picture_type

KEEP = {"Cache-Control": "public, max-age=31536000, immutable"}
NOTHING = "default-src 'none'; sandbox"


@require_safe
@content_security(NOTHING)
def stylesheet(request: HttpRequest, code: str) -> HttpResponse:
    return HttpResponse(_found(code).stylesheet(), content_type="text/css", headers=KEEP)


@require_safe
@content_security(NOTHING)
def logo(request: HttpRequest, code: str) -> HttpResponse:
    """The content type is what the bytes say, never what an uploader said."""
    data = _found(code).logo
    kind = picture_type(data)
    if kind is None:
        raise Http404("no logo")
    return HttpResponse(data, content_type=kind, headers=KEEP)


def _found(code: str) -> Look:
    look = branding.of_code(code)
    if look is None:
        raise Http404("no such institution")
    return look
