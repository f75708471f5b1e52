"""`manage.py outbox`: what waits to be sent to Kafka; and what an operator can do about it."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.base.times import rfc3339
from exchange.operations import event_repair
from exchange.platform.events import selectors

LISTED = 20  # failed events that are named


class Command(BaseCommand):
    help = (
        "Show the outbox and the oldest events that failed; send failed events again, give them up, or repeat what "
        "Kafka has lost. Exit code 0: done, or nothing has failed; 1: events have failed, or none was found to act on; "
        "2: bad usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--retry", action="store_true", help="try failed events again: all, or those of --id"
        )
        what.add_argument(
            "--discard", action="store_true", help="give up the events of --id; later ones go on"
        )
        what.add_argument("--republish", action="store_true", help="send again what was published --since")
        parser.add_argument("--id", type=int, action="append", dest="ids", metavar="ID", help="an event")
        parser.add_argument("--since", type=_moment, metavar="MOMENT", help="such as 2026-11-22T10:00:00Z")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        ids, since = options["ids"], options["since"]
        if options["republish"] != (since is not None):
            raise CommandError("--republish and --since belong together", returncode=2)
        if options["discard"] and not ids:
            raise CommandError("--discard needs --id", returncode=2)
        if ids and not (options["retry"] or options["discard"]):
            raise CommandError("--id belongs to --retry or --discard", returncode=2)
        dry, actor = options["dry_run"], f"command:{getpass.getuser()}"
        if options["retry"]:
            done = event_repair.failed(ids) if dry else event_repair.retry(ids, actor=actor)
            found = self._tell(options, "to be tried again", len(done), ids=done)
        elif options["discard"]:
            done = event_repair.refused(ids) if dry else event_repair.discard(ids, actor=actor)
            found = self._tell(options, "given up", len(done), ids=done)
        elif options["republish"]:
            count = event_repair.published_since(since) if dry else event_repair.republish(since, actor=actor)
            self._tell(options, "to be sent again", count, since=rfc3339(since))
            found = True
        else:
            found = self._state(options["as_json"])
        if not found:
            sys.exit(1)

    def _state(self, as_json: bool) -> bool:
        now, failed = selectors.state(), selectors.failed(LISTED)
        if as_json:
            oldest = rfc3339(now.oldest) if now.oldest else None
            figures = {"oldest": oldest, "oldest_seconds": round(now.oldest_seconds, 3)}
            counts = {"pending": now.pending, "failed": now.failed, "held_keys": now.held_keys}
            events = [each._asdict() for each in failed]
            self.stdout.write(json.dumps({**counts, **figures, "failed_events": events}))
        else:
            self.stdout.write(
                f"pending {now.pending}, the oldest for {now.oldest_seconds:.1f} s\n"
                f"failed  {now.failed}, keys that wait for one that was refused: {now.held_keys}"
            )
            for each in failed:
                self.stdout.write(
                    f"  --id {each.id}  {each.topic}  {each.key}  {each.tries} tries: {each.reason}"
                )
        return not now.failed

    def _tell(self, options: dict[str, Any], what: str, count: int, **more: Any) -> bool:
        if options["as_json"]:
            self.stdout.write(json.dumps({"events": count, "dry_run": options["dry_run"], **more}))
        else:
            self.stdout.write(
                f"{count} events {what}{' (not done: --dry-run)' if options['dry_run'] else ''}"
            )
        return count > 0


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-11-22T10:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
