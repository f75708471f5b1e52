"""`manage.py docs`: writes the pages about our commands, docs/commands/*.md, from their own help."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.operations import command_pages


class Command(BaseCommand):
    help = (
        "Write a page for each of our commands, and an index, from the commands' own help. With --check, only say "
        "which pages are not fresh. Exit code 0: written, or all fresh; 1: with --check, some are not; 2: bad "
        "usage, or the folder cannot be written."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--folder", type=Path, default=command_pages.FOLDER, metavar="DIR", help="default: docs/commands"
        )
        parser.add_argument("--check", "--dry-run", action="store_true", dest="check", help="write nothing")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *args: Any, folder: Path, check: bool, as_json: bool, **options: Any) -> None:
        stale = command_pages.stale(folder)
        if not check:
            try:
                command_pages.write(folder)
            except OSError as error:
                raise CommandError(f"{error.filename}: {error.strerror}", returncode=2) from error
        if as_json:
            document = {"pages": len(command_pages.files()), "stale" if check else "written": stale}
            self.stdout.write(json.dumps(document, indent=2))
        else:
            for name in stale:
                self.stdout.write(f"{name}: {'not fresh' if check else 'written'}")
            self.stdout.write(
                f"{len(command_pages.files())} pages, {len(stale)} {'not fresh' if check else 'written'}"
            )
        if check and stale:
            raise SystemExit(1)
