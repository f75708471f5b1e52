"""Django settings. Everything that differs between installations comes from `exchange.base.env`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from exchange.base.env import env
from exchange.settings.access import *  # noqa: F403
from exchange.settings.api import *  # noqa: F403
from exchange.settings.backoffice import *  # noqa: F403
from exchange.settings.logs import *  # noqa: F403
from exchange.settings.mail import *  # noqa: F403

BASE_DIR = Path(__file__).resolve().parents[2]

SECRET_KEY = env.secret_key
DEBUG = env.exchange_debug
ALLOWED_HOSTS = [host.strip() for host in env.exchange_allowed_hosts.split(",") if host.strip()]

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "exchange.platform.members.admin_app.BackOffice",
    "exchange.platform.approvals",  # its createsuperuser and changepassword stand before Django's
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_structlog",
    "django_otp",
    "axes",
    "exchange.platform.members",
    "exchange.platform.events",
    "exchange.embedded",
    "exchange.operations",
    "exchange.terminal",
    "exchange.platform.notifications",
    "exchange.platform.analytics",
    "exchange.platform.audit",
    "exchange.platform.keys",
    "exchange.platform.kyc",
    "exchange.backoffice",
    "matching",
    "risk",
    "trading",
    "marketdata",
]

MIDDLEWARE = [
    "exchange.base.http.trace_middleware.Trace",
    "exchange.base.http.browser_middleware.Security",
    "exchange.base.http.browser_middleware.Static",
    "exchange.base.http.browser_middleware.Session",
    "exchange.base.http.browser_middleware.Locale",
    "exchange.base.http.browser_middleware.Common",
    "exchange.base.http.browser_middleware.Csrf",
    "exchange.base.http.browser_middleware.Authentication",
    "exchange.base.http.browser_middleware.Messages",
    "exchange.base.http.browser_middleware.Frames",
    "exchange.base.http.browser_middleware.BackOffice",
]

ROOT_URLCONF = "exchange.urls"
WSGI_APPLICATION = "exchange.wsgi.application"
ASGI_APPLICATION = "exchange.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def _database(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"application_name": "exchange", "connect_timeout": 5, **dict(parse_qsl(parts.query))},
    }


DATABASES = {"default": _database(env.database_url)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "members.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("tr", "Türkçe")]
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LANGUAGE_COOKIE_SAMESITE = "Lax"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
