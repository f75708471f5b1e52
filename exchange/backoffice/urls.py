"""Pages of the back office beside those of the admin's models. All are behind the admin's own sign-in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.urls import URLPattern, path

from exchange.backoffice import dashboard, search, transfer


def _own(route: str, view: Callable[..., Any], name: str) -> URLPattern:
    return path(route, admin.site.admin_view(view), name=name)


urlpatterns = [
    _own("dashboard", dashboard.panel, "backoffice-dashboard"),
    _own("find", search.page, "backoffice-search"),
    _own("export/<str:app>/<str:model>.<str:kind>", transfer.export, "backoffice-export"),
    _own("import/<str:app>/<str:model>", transfer.load, "backoffice-import"),
]
