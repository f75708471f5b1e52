"""The texts of the terminal's scripts in the language of the request: what `gettext("…")` in them looks up.

`manage.py makemessages -d djangojs` collects them into `locale/*/LC_MESSAGES/djangojs.po`; English is in the
scripts themselves.
"""

from __future__ import annotations

import gettext
from functools import cache

from django.conf import settings
from django.utils.translation import get_language

DOMAIN = "djangojs"


def catalogue() -> dict[str, str]:
    """Message → text; empty in English."""
    return _catalogue((get_language() or settings.LANGUAGE_CODE).split("-")[0])


@cache
def _catalogue(language: str) -> dict[str, str]:
    found = gettext.translation(DOMAIN, settings.LOCALE_PATHS[0], [language], fallback=True)
    texts: dict[str, str] = getattr(found, "_catalog", {})  # the standard library has no other way to list it
    return {message: text for message, text in texts.items() if message}
