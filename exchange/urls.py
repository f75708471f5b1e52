"""Every address of the web process."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path

from exchange import health, pages
from exchange.api import keys, kyc, notifications
from exchange.api import sign_in as members
from exchange.platform.rest.view import NotFoundView
from marketdata.api.urls import udf_urlpatterns

handler404 = pages.not_found
handler500 = pages.failed

api: list[URLPattern | URLResolver] = [
    path("auth/token", members.TokenView.as_view()),
    path("auth/token/refresh", members.RefreshView.as_view()),
    path("keys", keys.KeysView.as_view()),
    path("keys/<str:key_id>", keys.OneKeyView.as_view()),
    path("health/live", health.LiveView.as_view()),
    path("health/ready", health.ReadyView.as_view()),
    path("kyc", kyc.KycView.as_view()),
    path("notifications", notifications.NotificationsView.as_view()),
    path("notifications/preferences", notifications.PreferencesView.as_view()),
    path("", include("trading.api.urls")),
    path("", include("marketdata.api.urls")),
    re_path(r"", NotFoundView.as_view()),
]

urlpatterns = [
    path("api/v1/", include(api)),
    path("udf/", include(udf_urlpatterns)),
    path("status", pages.status, name="status"),
    path("api/schema", pages.schema, name="schema"),
    path("api/asyncapi", pages.asyncapi, name="asyncapi"),
    path("api/asyncapi/events", pages.asyncapi_events, name="asyncapi-events"),
    path("api/docs", pages.swagger, name="docs"),
    path("api/redoc", pages.redoc, name="redoc"),
    path("admin/", include("exchange.backoffice.urls")),
    path("admin/", admin.site.urls),
    path("", include("exchange.terminal.urls")),
]
