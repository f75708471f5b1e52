"""Django's admin with our site in the place of its own."""

from __future__ import annotations

from django.apps import apps
from django.contrib.admin.apps import AdminConfig

from exchange.platform.members import labels


class BackOffice(AdminConfig):
    default_site = "exchange.platform.members.staff_site.StaffSite"

    def ready(self) -> None:
        labels.translate(apps.get_models())
        super().ready()
