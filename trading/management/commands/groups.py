"""`manage.py groups`: the symbol groups, each of which needs one matcher."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from matching.models import SymbolGroup


class Command(BaseCommand):
    help = "Prints the names of the symbol groups in order, one a line."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        for name in SymbolGroup.objects.order_by("name").values_list("name", flat=True):
            self.stdout.write(name)
