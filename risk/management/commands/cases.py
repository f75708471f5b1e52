"""`manage.py cases`: the queue of cases, one of them in full, and what an operator does with it.

manage.py cases --list
manage.py cases --show 17
manage.py cases --assign 17 --by ops@bank.example
manage.py cases --decide 17 --verdict confirmed --reason "…" --by ops@bank.example
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from exchange.platform.members.models import User
from risk.cases import dossier, workflow
from risk.models import Case
from risk.models.cases import State

CHOICES = {
    "show": "one case in full",
    "assign": "give it to somebody",
    "release": "back to the queue",
    "note": "add a note, see --text",
    "decide": "close it, see --verdict and --reason",
}
VERDICTS = {"confirmed": State.CLOSED_CONFIRMED, "dismissed": State.CLOSED_DISMISSED}


class Command(BaseCommand):
    help = (
        "List cases, show one, assign, release, note or decide it. Exit code 0: done; 1: the case may not be changed "
        "like that; 2: no such case or user, or bad usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--list", action="store_true", dest="listed", help="the worst first")
        for name, says in CHOICES.items():
            what.add_argument(f"--{name}", type=int, metavar="CASE", help=says)
        parser.add_argument("--state", choices=list(State), help="with --list; else those under way")
        parser.add_argument("--limit", type=int, default=50, metavar="N", help="with --list (default 50)")
        parser.add_argument("--by", metavar="EMAIL", help="who does it: one of the staff")
        parser.add_argument("--to", metavar="EMAIL", help="with --assign: to whom (default: who does it)")
        parser.add_argument("--verdict", choices=list(VERDICTS), help="with --decide")
        parser.add_argument("--reason", help="with --decide: why")
        parser.add_argument("--text", help="with --note: what it says")
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would change, and change nothing"
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *args: Any, as_json: bool, dry_run: bool, **given: Any) -> None:
        if given["listed"]:
            found = dossier.queue(state=given["state"])[: given["limit"]]
            items = [dossier.summary(case) for case in found]
            self.stdout.write(json.dumps({"items": items}, indent=2) if as_json else _lines(items))
            return
        if given["show"] is not None:
            case = _case(given["show"])
            self.stdout.write(json.dumps(dossier.whole(case), indent=2) if as_json else _page(case))
            return
        number, change = _change(given)
        case = self._do(number, change, dry_run)
        answer = dossier.summary(case) | {"dry_run": dry_run}
        would = " (would be)" if dry_run else ""
        self.stdout.write(json.dumps(answer, indent=2) if as_json else f"{_line(answer)}{would}")

    def _do(self, number: int, change: Callable[[], object], dry_run: bool) -> Case:
        """Made in any case; a dry run takes it back."""
        _case(number)
        try:
            with transaction.atomic():
                change()
                case = _case(number)
                transaction.set_rollback(dry_run)
        except workflow.NotAllowed as error:
            self.stderr.write(str(error))
            raise SystemExit(1) from error
        return case


def _change(given: dict[str, Any]) -> tuple[int, Callable[[], object]]:
    if not given["by"]:
        raise CommandError("a change needs --by: who does it", returncode=2)
    by = _staff(given["by"])
    if (number := given["assign"]) is not None:
        to = _staff(given["to"]) if given["to"] else by
        return number, lambda: workflow.assign(number, to=to, by=by)
    if (number := given["release"]) is not None:
        return number, lambda: workflow.release(number, by=by)
    if (number := given["note"]) is not None:
        return number, lambda: workflow.note(number, text=given["text"] or "", by=by)
    number = given["decide"]
    if given["verdict"] is None:
        raise CommandError("--decide needs --verdict", returncode=2)
    verdict, reason = VERDICTS[given["verdict"]], given["reason"] or ""
    return number, lambda: workflow.decide(number, verdict=verdict, reason=reason, by=by)


def _case(number: int) -> Case:
    case = Case.objects.select_related("user", "assignee", "decided_by").filter(pk=number).first()
    if case is None:
        raise CommandError(f"there is no case {number}", returncode=2)
    return case


def _staff(email: str) -> User:
    found = User.objects.filter(
        email=User.objects.normalize_email(email), is_staff=True, is_active=True
    ).first()
    if found is None:
        raise CommandError(f"{email} is not of the staff", returncode=2)
    return found


def _lines(items: list[dict[str, Any]]) -> str:
    return "\n".join(_line(item) for item in items) or "no cases"


def _line(item: dict[str, Any]) -> str:
    about = item["user"] or item["symbol"] or "-"
    return (
        f"{item['case']:>6}  {item['severity']:<8}  {item['kind']:<18}  {item['state']:<16}  {about:<30}  "
        f"{item['assignee'] or 'nobody'}"
    )


def _page(case: Case) -> str:
    lines = [_line(dossier.summary(case))]
    if case.reason:
        lines.append(f"        decided by {case.decided_by}: {case.reason}")
    for alert in dossier.alerts(case):
        lines.append(f"{alert.kind} {alert.symbol} score {alert.score:.4g}, found {alert.times} times")
        lines += [f"    {name}: {value}" for name, value in alert.detail.items()]
        for table in dossier.tables(alert, {}):
            lines.append(f"  {table['name']}: {len(table['rows'])} rows")
            lines.append("    " + "  ".join(table["headers"]))
            lines += ["    " + "  ".join(row) for row in table["rows"]]
    lines += [f"{note.written_at:%Y-%m-%d %H:%M} {note.author}: {note.text}" for note in dossier.notes(case)]
    return "\n".join(lines)
