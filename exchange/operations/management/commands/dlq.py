"""`manage.py dlq`: the events that a consumer group could not handle, and another try for them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaException
from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.operations.event_dispatch import HANDLERS, handlers
from exchange.platform.events import kafka
from exchange.platform.events.dlq import DeadLetter, read
from exchange.platform.events.replay import State, contents, replay, states
from exchange.platform.events.topics import TOPICS


class Command(BaseCommand):
    help = (
        "Lists dead letters, or hands those that wait to their group's handlers again, and to nobody else. "
        "Exit code 0: done; 1: one failed again; 2: bad usage, or Kafka does not answer."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        action = parser.add_mutually_exclusive_group(required=True)
        action.add_argument("--list", action="store_true", help="show them")
        action.add_argument("--replay", action="store_true", help="handle those that wait")
        parser.add_argument(
            "--topic", nargs="+", choices=TOPICS, default=TOPICS, metavar="TOPIC", help="of these only"
        )
        parser.add_argument("--group", choices=list(HANDLERS), metavar="GROUP", help="of this group only")
        parser.add_argument("--id", nargs="+", metavar="ID", help="only these: ids of letters or of events")
        parser.add_argument("--dry-run", action="store_true", help="with --replay: say what would be done")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if not kafka.configured():
            raise CommandError("KAFKA_BROKERS is empty: there are no dead letters", returncode=2)
        if options["dry_run"] and not options["replay"]:
            raise CommandError("--dry-run goes with --replay", returncode=2)
        try:
            letters = [letter for letter in read(options["topic"]) if _wanted(letter, options)]
        except KafkaException as error:
            raise CommandError(f"Kafka: {error}", returncode=2) from error
        found = states(letters, HANDLERS)
        rows = [_row(letter, found[letter.id]) for letter in letters]
        if options["replay"]:
            rows = self._replay(letters, found, rows, dry_run=options["dry_run"])
        self._print(rows, options)
        if any(row.get("failed") for row in rows):
            sys.exit(1)

    def _replay(
        self,
        letters: Sequence[DeadLetter],
        found: dict[str, State],
        rows: list[dict[str, Any]],
        *,
        dry_run: bool,
    ) -> list[dict[str, Any]]:
        """The rows of those that waited, and what came of each."""
        tables = {
            group: handlers(group) for group in {each.group for each in letters if each.group in HANDLERS}
        }
        tried = []
        for letter, row in zip(letters, rows, strict=True):
            if found[letter.id] is not State.WAITING:
                continue
            if not dry_run:
                row["failed"] = replay(letter, tables[letter.group][letter.topic, row["event_type"]])
                row["state"] = str(State.WAITING if row["failed"] else State.HANDLED)
                self.stderr.write(f"{letter.id}: {row['failed'] or 'handled'}")
            tried.append(row)
        return tried

    def _print(self, rows: list[dict[str, Any]], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=1))
            return
        for row in rows:
            came = (
                f"{row['group'] or '?'}, {row['topic']}/{row['partition']}/{row['offset']} key {row['key']}"
            )
            self.stdout.write(f"{row['id']}  {row['written_at']}  {row['state']}  {came}")
            self.stdout.write(f"    {row['event_type'] or 'no event'} {row['event_id']}")
            self.stdout.write(f"    {row.get('failed') or row['reason']} ({row['tries']} tries)")
        what = (
            "would be handled"
            if options["dry_run"]
            else "tried again"
            if options["replay"]
            else "dead letters"
        )
        self.stdout.write(f"{len(rows)} {what}")


def _wanted(letter: DeadLetter, options: dict[str, Any]) -> bool:
    if options["group"] and letter.group != options["group"]:
        return False
    if not options["id"]:
        return True
    event = contents(letter)
    return letter.id in options["id"] or (event is not None and event.event_id in options["id"])


def _row(letter: DeadLetter, state: State) -> dict[str, Any]:
    event = contents(letter)
    return {
        "id": letter.id,
        "written_at": letter.written_at,
        "state": str(state),
        "group": letter.group,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": letter.key,
        "event_type": event.event_type if event else "",
        "event_id": event.event_id if event else "",
        "tries": letter.tries,
        "reason": letter.reason,
    }
