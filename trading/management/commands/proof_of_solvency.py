"""`manage.py proof_of_solvency`: publishes what each institution owes its users, so that each can find their part.

    manage.py proof_of_solvency
    manage.py proof_of_solvency --dry-run --json

A signed root for each institution and asset, below EXCHANGE_BOOKS_FOLDER/solvency. Users check their leaves in the
terminal, or with docs/check_leaf.py from GET /api/v1/solvency.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import django.db
import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.base.env import env
from trading.books import closing, signing, solvency
from trading.books.exact import exact
from trading.books.solvency import Proof
from trading.verify.snapshot import snapshot


class Command(BaseCommand):
    help = (
        "Build a Merkle-sum tree of every user's balance for each institution and asset, check that the ledger covers "
        "them, sign the roots and publish them. Exit code 0: published; 1: balances are not what was posted, or not "
        "covered, and nothing is published; 2: bad usage, no key, or no database."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--folder",
            type=Path,
            metavar="DIR",
            help="where roots are written (default: EXCHANGE_BOOKS_FOLDER)",
        )
        parser.add_argument("--dry-run", action="store_true", help="build and check, and publish nothing")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    @exact()
    def handle(self, *args: Any, folder: Path | None, dry_run: bool, as_json: bool, **options: Any) -> None:
        if env.wallet == "http":
            raise CommandError(
                "WALLET=http: balances are with the bank's wallet service, not here", returncode=2
            )
        try:
            key = signing.private_key()
            proofs = self._build()
            paths = (
                []
                if dry_run or not proofs
                else solvency.publish(proofs, key, folder or closing.books_folder())
            )
        except solvency.Refused as error:
            raise CommandError(f"nothing is published: {error}", returncode=1) from error
        except signing.KeyProblem as error:
            raise CommandError(str(error), returncode=2) from error
        except (psycopg.OperationalError, django.db.OperationalError) as error:
            raise CommandError(f"no database: {str(error).splitlines()[0]}", returncode=2) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}", returncode=2) from error
        reports = [proof.report() for proof in proofs]
        if as_json:
            document = {"proofs": reports, "files": [str(path) for path in paths], "dry_run": dry_run}
            self.stdout.write(json.dumps(document, indent=2))
            return
        for report in reports:
            name = f"{report['institution']} {report['asset']}"
            self.stdout.write(f"{name}: owed to users {report['owed_to_users']}, fees {report['fees']},")
            kept, due = report["kept_in_custody"], report["due_from_institutions"]
            self.stdout.write(f"  in custody {kept}, due from institutions {due}, root {report['root']}")
        where = (
            f"published in {paths[0].parent}"
            if paths
            else "not published (--dry-run)"
            if proofs
            else "no accounts"
        )
        self.stdout.write(f"{len(proofs)} proofs, {where}")

    def _build(self) -> list[Proof]:
        with snapshot() as taken:
            solvency.check_ledger(taken, self._progress)
            found = []
            for owner in solvency.owners(taken):
                self._progress(f"{owner.institution} {owner.asset}")
                found.append(solvency.build(taken, owner))
            return found

    def _progress(self, what: str) -> None:
        self.stderr.write(f"… {what}")
