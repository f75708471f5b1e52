"""Django's admin with our site in the place of its own."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class BackOffice(AdminConfig):
    default_site = "exchange.members.staff_site.StaffSite"
