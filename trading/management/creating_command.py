"""What the commands that create something share: one transaction, --dry-run, --json, and errors a person can use."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

EXIT_CODES = "Exit code 0: done; 2: bad usage, or it cannot be so; then nothing has changed."


class CreatingCommand(BaseCommand):
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print a JSON document")
        parser.add_argument("--dry-run", action="store_true", help="check everything, create nothing")

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """In an open transaction; what was made. May raise ValidationError or ValueError."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic():
                made = self.create(options)
                transaction.set_rollback(options["dry_run"])
        except ValidationError as error:
            raise CommandError(_said(error), returncode=2) from error
        except ValueError as error:
            raise CommandError(str(error), returncode=2) from error
        if options["as_json"]:
            self.stdout.write(json.dumps({**made, "dry_run": options["dry_run"]}))
        else:
            facts = ", ".join(f"{name} {value}" for name, value in made.items() if value not in (None, ""))
            self.stdout.write(f"{'would create' if options['dry_run'] else 'created'}: {facts}")


def decimal(text: str) -> Decimal:
    """For an argument. Raises ValueError."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value <= 0:
        raise ValueError(f"{text!r} is not a number above zero")
    return value


def _said(error: ValidationError) -> str:
    if not hasattr(error, "error_dict"):
        return "; ".join(error.messages)
    return "; ".join(
        said if name == "__all__" else f"{name}: {said}"
        for name, all_said in error.message_dict.items()
        for said in all_said
    )
