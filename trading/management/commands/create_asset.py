"""`manage.py create_asset CODE --name NAME --scale PLACES`: something that can be owned and traded."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from trading.management.creating_command import EXIT_CODES, CreatingCommand
from trading.management.market_command import shell_user
from trading.reference import listing


class Command(CreatingCommand):
    help = "Create an asset. It is there at once, in every process. " + EXIT_CODES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("code", help="such as BTC")
        parser.add_argument("--name", required=True, help="such as Bitcoin")
        parser.add_argument(
            "--scale", type=int, required=True, help="decimal places in the ledger, at most 18; cannot change"
        )
        super().add_arguments(parser)

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        asset = listing.create_asset(
            code=options["code"], name=options["name"], scale=options["scale"], by=shell_user()
        )
        return {"asset": asset.code, "name": asset.name, "scale": asset.scale}
