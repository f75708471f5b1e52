"""What we know of the funds at the bank's wallet service against what the service knows.

Both sides change while they are read, and what one has done the other learns a moment later. So the service is
read first and we second (what it has must have been here before), what differs is looked at again until it has
differed twice in the same way, and what is on its way is a difference only after `patience` seconds.

    forgotten   reserved there, and not needed here
    unfunded    an open order here, for which nothing is reserved there
    differs     both have it: another amount, user or asset; more consumed there than was traded; another release
    unsettled   traded here, not consumed there: `trade.events` did not arrive, or were refused
    late        here, on its way for too long: no sweep, or the service refuses
    held_twice  a customer has more (or less) reserved than their reservations there add up to
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg

from exchange.base.database import array
from trading.wallet.client import Held, WalletClient

LOOKS, PAUSE = 3, 1.0  # how often what differs is looked at, and seconds between
GRACE = 60.0  # seconds that a thing may be on its way

_COLUMNS = """
    SELECT r.id::text, r.user_id::text, a.code, r.amount, r.surplus, r.state, r.release_id IS NOT NULL, r.problem,
           CASE o.side WHEN 'BUY' THEN o.filled_notional WHEN 'SELL' THEN o.filled_quantity END,
           greatest(r.updated_at, o.updated_at), o.closed_at IS NOT NULL
      FROM trading_reservation r
      JOIN trading_asset a ON a.id = r.asset_id
      LEFT JOIN trading_order o ON o.id = r.id"""
_OPEN = f"{_COLUMNS} WHERE r.state IN ('RESERVING', 'HELD', 'RELEASING')"
_ALL = _COLUMNS
_NAMED = f"{_COLUMNS} WHERE r.id = ANY (%s::uuid[])"

# As if we had reserved it and never come to an order: the sweep then releases it.
_ADOPT = """
    INSERT INTO trading_reservation (id, user_id, asset_id, account_id, amount, surplus, state, problem,
                                     created_at, updated_at)
    SELECT %s, u.id, a.id, w.id, %s, %s, 'RELEASING', '', now(), now()
      FROM members_user u
      JOIN trading_asset a ON a.code = %s
      JOIN trading_account w ON w.kind = 'WALLET' AND w.institution_id = u.institution_id AND w.asset_id = a.id
     WHERE u.id::text = %s
    ON CONFLICT (id) DO UPDATE SET state = 'RELEASING', problem = '', updated_at = now(),
       surplus = CASE WHEN trading_reservation.release_id IS NULL THEN excluded.surplus
                      ELSE trading_reservation.surplus END
     WHERE trading_reservation.state IN ('REFUSED', 'RELEASED')"""


class Ours(NamedTuple):
    id: str
    user: str
    asset: str
    amount: Decimal
    surplus: Decimal | None
    state: str
    had_order: bool
    problem: str
    traded: Decimal | None
    updated_at: datetime
    closed: bool


class Finding(NamedTuple):
    kind: str
    reservation: str  # or the customer, for held_twice
    detail: str


class Report(NamedTuple):
    compared: int
    findings: list[Finding]
    repaired: list[str]

    @property
    def clean(self) -> bool:
        """Nothing differs, or all that did is on its way to be released."""
        return {finding.reservation for finding in self.findings} <= set(self.repaired)


def reconcile(
    connection: psycopg.Connection[Any],
    wallet: WalletClient,
    progress: Callable[[str], None],
    *,
    everything: bool = False,
    patience: float = GRACE,
    repair: bool = False,
) -> Report:
    """`everything` looks at finished reservations too; `repair` has what is forgotten released by the sweep.
    Raises WalletUnavailable, psycopg.Error."""
    side = Sides(connection, wallet, patience)
    compared, findings = side.compare(everything=everything)
    pause = threading.Event()
    for _ in range(LOOKS - 1):
        if not findings:
            break
        progress(f"{len(findings)} differ; looking again")
        pause.wait(PAUSE)
        again = set(side.compare(everything=everything)[1])
        findings = [finding for finding in findings if finding in again]
    repaired = side.adopt([f for f in findings if f.kind == "forgotten"]) if repair else []
    return Report(compared, findings, repaired)


class Sides:
    """Both sides, as they are at one look."""

    def __init__(self, connection: psycopg.Connection[Any], wallet: WalletClient, patience: float) -> None:
        self._connection = connection
        self._wallet = wallet
        self._patience = patience

    def compare(self, *, everything: bool) -> tuple[int, list[Finding]]:
        """How many reservations were looked at, and what differs."""
        theirs = {held.reservation_id: held for held in self._wallet.open_reservations()}
        reserved = {(each.user, each.asset): each.reserved for each in self._wallet.all_balances()}
        summed = _sums(theirs.values())
        ours = self._ours(_ALL if everything else _OPEN)
        ours |= self._named(theirs.keys() - ours.keys())
        missing = sorted(ours.keys() - theirs.keys())
        theirs |= {held.reservation_id: held for held in self._wallet.reservations(missing)}
        found = [self._look(ours.get(name), theirs.get(name)) for name in sorted(ours.keys() | theirs.keys())]
        found += _held_twice(reserved, summed)
        return len(ours.keys() | theirs.keys()), [finding for finding in found if finding is not None]

    def adopt(self, forgotten: Iterable[Finding]) -> list[str]:
        """Make them RELEASING here; those that could be."""
        names = [finding.reservation for finding in forgotten]
        done = []
        for held in self._wallet.reservations(names):
            values = (held.reservation_id, held.amount, held.outstanding, held.asset, held.user)
            if self._connection.execute(_ADOPT, values).rowcount:
                done.append(held.reservation_id)
        return done

    def _look(self, ours: Ours | None, theirs: Held | None) -> Finding | None:
        name = ours.id if ours is not None else theirs.reservation_id if theirs is not None else ""
        kind, detail = self._difference(ours, theirs)
        return Finding(kind, name, detail) if kind else None

    def _difference(self, ours: Ours | None, theirs: Held | None) -> tuple[str, str]:
        left = theirs.outstanding if theirs is not None else Decimal(0)
        if ours is None or ours.state == "REFUSED":
            return ("forgotten", f"{left:f} is reserved and not known here") if left else ("", "")
        if ours.state in ("RESERVING", "RELEASING"):
            return ("late", f"{ours.state} {ours.problem}".strip()) if self._late(ours) else ("", "")
        if ours.state == "RELEASED" and not ours.had_order:
            return ("forgotten", f"{left:f} is reserved, and was released here") if left else ("", "")
        if theirs is None or (ours.state == "HELD" and theirs.state != "HELD"):
            return "unfunded", f"{ours.state} here, {theirs.state if theirs else 'unknown'} there"
        if ours.state == "RELEASED" and theirs.state != "RELEASED":
            return "forgotten", f"{left:f} is reserved, and was released here"
        terms = (theirs.user, theirs.asset, theirs.amount)
        if terms != (ours.user, ours.asset, ours.amount):
            return "differs", f"{ours.amount:f} {ours.asset} here, {theirs.amount:f} {theirs.asset} there"
        if ours.state == "RELEASED" and theirs.released != ours.surplus:
            return "differs", f"{ours.surplus:f} was released here, {theirs.released:f} there"
        assert ours.traded is not None, "what is held has an order"
        if theirs.consumed > ours.traded:
            # Trades are read here after there, so this can't be one that came in between.
            return "differs", f"{theirs.consumed:f} was consumed there, {ours.traded:f} traded here"
        if theirs.consumed < ours.traded and self._late(ours):
            return "unsettled", f"{theirs.consumed:f} was consumed there, {ours.traded:f} traded here"
        return "", ""

    def _late(self, ours: Ours) -> bool:
        return (datetime.now(UTC) - ours.updated_at).total_seconds() >= self._patience

    def _ours(self, sql: str, *values: str) -> dict[str, Ours]:
        rows = self._connection.execute(sql, values or None)
        return {row[0]: Ours(*row) for row in rows}

    def _named(self, names: Iterable[str]) -> dict[str, Ours]:
        """Those of `names` that we know; others may have names that none of ours could."""
        return self._ours(_NAMED, array(name for name in names if _is_id(name)))


def _sums(reservations: Iterable[Held]) -> dict[tuple[str, str], Decimal]:
    """What is outstanding, by user and asset."""
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for held in reservations:
        sums[held.user, held.asset] += held.outstanding
    return sums


def _held_twice(
    reserved: dict[tuple[str, str], Decimal], summed: dict[tuple[str, str], Decimal]
) -> Iterable[Finding]:
    for user, asset in sorted(reserved.keys() | summed.keys()):
        there = reserved.get((user, asset), Decimal(0))
        due = summed.get((user, asset), Decimal(0))
        if there != due:
            yield Finding(
                "held_twice", user, f"{there:f} {asset} is reserved, reservations add up to {due:f}"
            )


def _is_id(name: str) -> bool:
    return len(name) == 36 and not name.strip("0123456789abcdef-")
