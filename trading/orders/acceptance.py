"""The intake transaction: a batch of candidates and changes becomes durable, or is turned away for good
reason.

    keys, numbers, funds in one round trip → decide in memory → COPY orders and events → commit

Funds are read without a lock, decided on, and held by the database at commit. If another transaction was faster,
the account's check refuses the commit, and the batch is done again under locks: so accounts are locked for a
moment only, and funds are never held twice. The event of a rejected order is written here, that of a
PENDING one when the matcher has come to it (docs/decisions/002).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg

from exchange.base.database import NULL, Transaction, array, escape, transaction
from exchange.platform.events import outbox
from matching.codec import encode
from matching.core.scale import minor_text
from matching.core.types import Reason
from matching.order_view import term_texts
from trading.orders import audit, wallet_funds
from trading.orders.batch import AcceptedBatch, OrderChange
from trading.orders.candidates import OrderCandidate
from trading.orders.events import order_event
from trading.orders.order import COLUMNS, QUANTITY, WORST_PRICE, terms_line

TRIES = 4

_ORDER_COLUMNS = (
    f"{COLUMNS}, number, client_order_id, remaining_quantity, filled_quantity, filled_notional, fee, status, reason, "
    "hold_account_id, receive_account_id, held, maker_fee_rate, taker_fee_rate, trace_id, created_at, updated_at, "
    "closed_at"
)

_KEYS = """
    INSERT INTO trading_clientorder (user_id, client_order_id, order_id, fingerprint)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::uuid[], %s::bigint[])
    ON CONFLICT DO NOTHING RETURNING order_id::text, nextval('trading_order_number')"""

_FUNDS = "SELECT id, available FROM trading_account WHERE id = ANY (%s::bigint[])"
_FUNDS_LOCKED = f"{_FUNDS} ORDER BY id FOR NO KEY UPDATE"

_CHANGES = """
    INSERT INTO trading_pendingcommand (id, "group", order_id, kind, envelope, hold_account_id, held,
    created_at) SELECT * FROM unnest(%s::uuid[], %s::text[], %s::uuid[], %s::text[], %s::bytea[],
    %s::bigint[], %s::numeric[],
                         %s::timestamptz[])
    ON CONFLICT DO NOTHING RETURNING id::text"""

_TERMS = f"""
    SELECT o.id::text, {WORST_PRICE}, {QUANTITY}
      FROM trading_order o JOIN trading_instrument i ON i.id = o.instrument_id
     WHERE o.id = ANY (%s::uuid[])"""

_TAKE_BACK = "DELETE FROM trading_pendingcommand WHERE id = ANY (%s::uuid[])"


def accept(
    connection: psycopg.Connection[Any], candidates: Sequence[OrderCandidate], changes: Sequence[OrderChange]
) -> AcceptedBatch:
    """Commit the batch. Sets `number` and `reason` of candidates and `refused` of changes. Raises
    psycopg.Error."""
    reasons = [candidate.reason for candidate in candidates]
    refusals = [change.refused for change in changes]
    for attempt in range(1, TRIES + 1):
        try:
            with transaction(connection) as tx:
                return _accept(tx, candidates, changes, locked=attempt > 1)
        except psycopg.errors.CheckViolation as error:
            if error.diag.constraint_name != "account_available_not_negative" or attempt == TRIES:
                raise
            for candidate, reason in zip(candidates, reasons, strict=True):
                candidate.reason = reason
            for change, refused in zip(changes, refusals, strict=True):
                change.refused = refused
    raise AssertionError("the last attempt returns or raises")


def _accept(
    tx: Transaction, candidates: Sequence[OrderCandidate], changes: Sequence[OrderChange], *, locked: bool
) -> AcceptedBatch:
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    funds_sql = _FUNDS_LOCKED if locked else _FUNDS
    accounts = {c.hold_account for c in candidates} | {
        c.hold_account for c in changes if c.hold_account is not None
    }
    keys, rows = tx.fetch((_KEYS, _key_values(candidates)), (funds_sql, (array(accounts),)))
    funds: dict[int, Any] = dict(rows)
    new = {order_id for order_id, _ in keys}
    numbers = iter(sorted(number for _, number in keys))
    accepted = AcceptedBatch(created_at=now[:-6] + "Z")
    for candidate in candidates:
        if candidate.order_id not in new:
            accepted.known.append(candidate)
            continue
        candidate.number = next(numbers)
        if candidate.reason or not _hold(candidate, funds):
            accepted.rejected.append(candidate)
        else:
            accepted.pending.append(candidate)
    stored = accepted.pending + accepted.rejected
    for change in changes:
        account = change.hold_account
        if change.hold and account and not _take(funds, account, change.hold, change.hold_scale):
            change.refused = Reason.INSUFFICIENT_FUNDS
    write_changes(tx, changes, now)
    turned_away = [_message(candidate, accepted.created_at) for candidate in accepted.rejected]
    tx.copy(outbox.TABLE, outbox.COLUMNS, turned_away)
    tx.copy("trading_order", _ORDER_COLUMNS, [_line(candidate, now) for candidate in stored])
    if any(candidate.wallet_account for candidate in candidates):
        wallet_funds.record(tx, accepted, now)
    audit.record_batch(tx, accepted, changes)
    return accepted


def _hold(candidate: OrderCandidate, funds: dict[int, Any]) -> bool:
    """Take the candidate's hold off what is there; if it is not, reject it."""
    if candidate.wallet_account:
        return True  # it comes in with the order
    if not _take(funds, candidate.hold_account, candidate.hold, candidate.pays.scale):
        candidate.reason = Reason.INSUFFICIENT_FUNDS
        return False
    return True


def _take(funds: dict[int, Any], account: int, amount: int, scale: int) -> bool:
    """`funds` starts as numerics from the database and becomes minor units at the first look."""
    available = funds[account]
    if not isinstance(available, int):
        available = int(available.scaleb(scale))
    enough = bool(available >= amount)
    funds[account] = available - amount if enough else available
    return enough


def write_changes(tx: Transaction, changes: Sequence[OrderChange], now: str = "now") -> None:
    """Make them durable; sets `refused` of those that cannot be."""
    wanted = [change for change in changes if not change.refused]
    if not wanted:
        return
    (rows,) = tx.fetch((_CHANGES, _change_values(wanted, now)))
    written = {row[0] for row in rows}
    for change in wanted:
        if change.envelope.command.id not in written:
            change.refused = "AMENDMENT_IN_PROGRESS"
    _refuse_outdated(tx, [change for change in wanted if change.reckoned_from and not change.refused])


def _refuse_outdated(tx: Transaction, amendments: Sequence[OrderChange]) -> None:
    """Looks after the rows are in: from then on no other amendment can change these orders."""
    if not amendments:
        return
    (rows,) = tx.fetch((_TERMS, (array(change.order_id for change in amendments),)))
    terms = {order_id: (price, quantity) for order_id, price, quantity in rows}
    outdated = [change for change in amendments if terms.get(change.order_id) != change.reckoned_from]
    for change in outdated:
        change.refused = "ORDER_CHANGED"
    if outdated:
        tx.queue(_TAKE_BACK, (array(change.envelope.command.id for change in outdated),))


def _key_values(candidates: Sequence[OrderCandidate]) -> tuple[Any, ...]:
    """In the order of the key, so that two intakes that share keys wait for one another and do not
    deadlock."""
    ordered = sorted(candidates, key=lambda c: (c.terms.user, c.order.client_order_id))
    return (
        array(c.terms.user for c in ordered),
        [c.order.client_order_id for c in ordered],
        array(c.order_id for c in ordered),
        array(c.order.fingerprint for c in ordered),
    )


def _change_values(changes: Sequence[OrderChange], now: str) -> tuple[Any, ...]:
    return (
        array(change.envelope.command.id for change in changes),
        [change.group for change in changes],
        array(change.order_id or "NULL" for change in changes),
        array(type(change.envelope.command).__name__ for change in changes),
        [encode(change.envelope) for change in changes],
        array("NULL" if change.hold_account is None else change.hold_account for change in changes),
        array(minor_text(change.hold, change.hold_scale) for change in changes),
        array(f'"{now}"' for _ in changes),
    )


def _line(candidate: OrderCandidate, now: str) -> str:
    order, scale = candidate.order, candidate.order.market.scale
    rejected = candidate.reason is not None
    closed_at = now if rejected else NULL
    held = "0" if rejected else minor_text(candidate.hold, candidate.pays.scale)
    return (
        f"{terms_line(candidate.terms, scale)}\t{candidate.number}\t{escape(order.client_order_id)}\t"
        f"{scale.quantity_text(candidate.terms.quantity)}\t0\t0\t0\t{'REJECTED' if rejected else 'PENDING'}\t"
        f"{candidate.reason or ''}\t{candidate.hold_account}\t{candidate.receive_account}\t{held}\t"
        f"{candidate.maker_rate}\t{candidate.taker_rate}\t{order.trace_id}\t{now}\t{now}\t{closed_at}\n"
    )


def _message(candidate: OrderCandidate, timestamp: str) -> str:
    order = candidate.order
    texts = term_texts(candidate.terms, order.market.scale)
    return order_event(
        candidate.terms,
        texts,
        number=candidate.number,
        symbol=order.market.symbol,
        status="REJECTED",
        filled_quantity="0",
        remaining_quantity=texts.quantity,
        reason=str(candidate.reason),
        trace_id=order.trace_id,
        timestamp=timestamp,
    )
