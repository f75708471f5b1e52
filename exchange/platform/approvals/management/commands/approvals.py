"""`manage.py approvals`: what waits for a second person, and what became of other requests."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from exchange.platform.approvals.models import Approval, State
from exchange.platform.approvals.queue import shown_state


class Command(BaseCommand):
    help = (
        "List requests that wait for a second person, oldest first. They are decided in the back office alone, where "
        "people sign in with both factors. Exit code 0."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--list", action="store_true", help="what it does anyway")
        parser.add_argument("--all", action="store_true", dest="everything", help="decided ones too")
        parser.add_argument("--kind", choices=sorted(settings.APPROVAL_KINDS), help="of this kind alone")
        parser.add_argument("--institution", metavar="CODE", help="of this institution alone")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print a JSON list")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = Approval.objects.select_related("institution", "requested_by", "decided_by")
        if options["kind"]:
            rows = rows.filter(kind=options["kind"])
        if options["institution"]:
            rows = rows.filter(institution__code=options["institution"])
        if not options["everything"]:
            rows = rows.filter(state=State.PENDING)
        found = [_shown(row) for row in rows.order_by("requested_at")]
        if not options["everything"]:
            found = [row for row in found if row["state"] == State.PENDING]
        if options["as_json"]:
            self.stdout.write(json.dumps(found, indent=2))
            return
        for row in found:
            self.stdout.write(
                f"{row['id']}  {row['state']:<9} {row['kind']:<10} {row['subject']}  by {row['requested_by']}, "
                f"until {row['expires_at']}: {row['reason']}"
            )
        self.stdout.write(f"{len(found)} {'in all' if options['everything'] else 'waiting'}")


def _shown(row: Approval) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "state": str(shown_state(row)),
        "institution": row.institution.code if row.institution else None,
        "subject": row.subject,
        "changes": row.changes,
        "reason": row.reason,
        "requested_by": row.requested_by.email,
        "requested_at": row.requested_at.isoformat(timespec="seconds"),
        "expires_at": row.expires_at.isoformat(timespec="seconds"),
        "decided_by": row.decided_by.email if row.decided_by else None,
        "decided_at": row.decided_at.isoformat(timespec="seconds") if row.decided_at else None,
        "decision_reason": row.decision_reason,
        "outcome": row.outcome,
    }
