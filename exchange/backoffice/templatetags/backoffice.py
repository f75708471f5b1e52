"""What the list's templates ask."""

from __future__ import annotations

from typing import Any

from django import template
from django.db.models.options import Options

from exchange.backoffice.importing import SHEETS

register = template.Library()


@register.simple_tag
def importable(opts: Options[Any]) -> bool:
    return opts.label_lower in SHEETS
