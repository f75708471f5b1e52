"""E-mail, from EMAIL_URL: `smtps://` speaks TLS from the start, `smtp://` goes over to it (STARTTLS) where there is a
password to protect; `?starttls=true` or `false` says otherwise. Empty: to the console."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

from exchange.base.env import env

_parts = urlsplit(env.email_url)
_starttls = parse_qs(_parts.query).get("starttls", ["true" if _parts.password else "false"])[-1]

EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if env.email_url else 'console'}.EmailBackend"
EMAIL_HOST = _parts.hostname or "localhost"
EMAIL_USE_SSL = _parts.scheme == "smtps"
EMAIL_USE_TLS = not EMAIL_USE_SSL and _starttls == "true"
EMAIL_PORT = _parts.port or (465 if EMAIL_USE_SSL else 587 if EMAIL_USE_TLS else 25)
EMAIL_HOST_USER = unquote(_parts.username or "")
EMAIL_HOST_PASSWORD = unquote(_parts.password or "")
EMAIL_TIMEOUT = 10  # seconds for each step
DEFAULT_FROM_EMAIL = env.email_from
