"""`manage.py audit`: the audit log, looked through or checked."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from exchange.base.database import connect
from exchange.platform.audit import anchors, archives, selectors, verify
from exchange.platform.audit.anchors import Anchor
from exchange.platform.audit.chain import PLATFORM
from exchange.platform.audit.selectors import Wanted
from exchange.platform.members.models import Institution

WIDE = 100  # characters of old and new in a list


class Command(BaseCommand):
    help = (
        "Look through the audit log (--list, with --actor, --resource, --trace and so on), say where its chains stand "
        "(--heads), or check them (--verify): every record that was changed, that is missing, was put in or moved is "
        "named. Exit code 0: done, nothing is wrong; 1: something is; 2: bad usage, or nothing was checked."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--verify", action="store_true", help="check all chains, record by record")
        what.add_argument(
            "--heads", action="store_true", help="the last number and hash of each chain, as anchors"
        )
        what.add_argument("--list", "--search", action="store_true", dest="listing", help="newest first")
        parser.add_argument(
            "--anchor",
            action="append",
            default=[],
            metavar="INSTITUTION:NUMBER:HASH",
            help="with --verify: what was kept elsewhere of a chain must still stand in it; `platform` is the "
            "installation's own chain; may be given again",
        )
        parser.add_argument(
            "--archive",
            type=Path,
            metavar="FOLDER",
            help="with --verify: check the archives that `retention` wrote there too",
        )
        parser.add_argument("--actor", help="user id, or a name such as command:operator")
        parser.add_argument("--action", help="such as admin.change")
        parser.add_argument("--resource", help="such as user/ID, or order/ID for an order's commands")
        parser.add_argument("--trace", metavar="ID", help="trace id of the request (X-Request-ID)")
        parser.add_argument("--institution", metavar="CODE", help="its code or id, or `platform`")
        parser.add_argument("--since", metavar="TIME", help="ISO 8601; UTC if it names no zone")
        parser.add_argument("--until", metavar="TIME", help="ISO 8601; UTC if it names no zone")
        parser.add_argument("--limit", type=int, default=50, help="of --list (50)")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["verify"]:
                self._verify(options)
            elif options["heads"]:
                self._heads(as_json=options["as_json"])
            else:
                self._list(options)
        except (psycopg.Error, Error) as error:
            raise CommandError(
                f"nothing was looked at: {str(error).splitlines()[0]}", returncode=2
            ) from error

    def _verify(self, options: dict[str, Any]) -> None:
        folder: Path | None = options["archive"]
        if folder is not None and not folder.is_dir():
            raise CommandError(f"{folder} is not a folder", returncode=2)
        kept = [_anchor(text) for text in options["anchor"]]
        with connect("exchange audit") as connection:
            connection.autocommit = False
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            report = verify.run(connection, self._progress)
            if folder is not None:
                report.findings += archives.check(connection, folder, self._progress)
            report.findings += anchors.check(connection, kept, folder)
        self._print(report, looked_at_archives=folder is not None, as_json=options["as_json"])
        if report.findings:
            raise SystemExit(1)

    def _print(self, report: verify.Report, *, looked_at_archives: bool, as_json: bool) -> None:
        if as_json:
            document = {
                "clean": not report.findings,
                "chains": report.chains,
                "records": report.records,
                "unsealed": report.unsealed,
                "archived": report.archived,
                "archives_checked": looked_at_archives,
                "findings": [finding._asdict() for finding in report.findings],
            }
            self.stdout.write(json.dumps(document, indent=2))
            return
        names = _names()
        for finding in report.findings:
            where = names.get(finding.chain, finding.chain) or "-"
            number = "-" if finding.number is None else str(finding.number)
            self.stdout.write(
                f"{finding.kind:<10} {where} {number}  {finding.record or '-'}  {finding.detail}"
            )
        outcome = f"{len(report.findings)} findings" if report.findings else "nothing is wrong"
        archived = f", {report.archived} in archives" if report.archived else ""
        archived += " (not looked at)" if report.archived and not looked_at_archives else ""
        self.stdout.write(
            f"{report.chains} chains, {report.records} records, {report.unsealed} not sealed yet{archived}: {outcome}"
        )

    def _heads(self, *, as_json: bool) -> None:
        names = _names()
        heads = [
            {"institution": names.get(str(head.chain), str(head.chain)), "number": head.number}
            | {"hash": bytes(head.hash).hex()}
            for head in selectors.heads()
        ]
        if as_json:
            self.stdout.write(json.dumps(heads, indent=2))
            return
        for head in heads:
            self.stdout.write(f"{head['institution']}:{head['number']}:{head['hash']}")

    def _list(self, options: dict[str, Any]) -> None:
        if options["limit"] < 1:
            raise CommandError("--limit must be at least 1", returncode=2)
        wanted = Wanted(
            actor=options["actor"],
            action=options["action"],
            resource=options["resource"],
            trace_id=options["trace"],
            institution=_chain(options["institution"]) if options["institution"] else None,
            since=_moment("--since", options["since"]),
            until=_moment("--until", options["until"]),
        )
        found = list(selectors.records(wanted)[: options["limit"]])
        seals = selectors.seals(found)
        documents = [selectors.as_document(record, seals.get(record.pk)) for record in found]
        if options["as_json"]:
            self.stdout.write(json.dumps(documents, indent=2))
            return
        for each in documents:
            who = f"{each['actor']} {each['role']}".strip()
            self.stdout.write(
                f"{each['at']}  {each['number'] or '-':>6}  {each['action']}  {each['resource']}  {who}"
            )
            if each["old"] != "{}" or each["new"] != "{}":
                self.stdout.write(f"    {each['old'][:WIDE]} → {each['new'][:WIDE]}")

    def _progress(self, what: str) -> None:
        self.stderr.write(f"… {what}")


def _anchor(text: str) -> Anchor:
    institution, _, rest = text.partition(":")
    number, _, digest = rest.partition(":")
    if not (number.isdecimal() and int(number) and re.fullmatch("[0-9a-fA-F]{64}", digest)):
        raise CommandError(
            f"--anchor {text}: must be INSTITUTION:NUMBER:HASH, the hash 64 hexadecimal digits", returncode=2
        )
    return Anchor(_chain(institution), int(number), bytes.fromhex(digest))


def _chain(name: str) -> UUID:
    """Of an institution's code or id, or `platform`."""
    if name == "platform":
        return PLATFORM
    try:
        return UUID(name)
    except ValueError:
        found = Institution.objects.filter(code=name).values_list("pk", flat=True).first()
    if found is None:
        known = ", ".join(["platform", *Institution.objects.values_list("code", flat=True).order_by("code")])
        raise CommandError(f"there is no institution {name!r}; there are: {known}", returncode=2)
    return found


def _names() -> dict[str, str]:
    codes = {str(key): code for key, code in Institution.objects.values_list("pk", "code")}
    return {str(PLATFORM): "platform", **codes}


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"{option} {text}: must be a time such as 2026-01-31T09:00", returncode=2
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
