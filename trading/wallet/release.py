"""What an order left over goes back: the work of the Celery task, behind the orders and never in their way.

    abandon   RESERVING for too long           → RELEASING, all of it
    close     HELD, and the order is closed    → RELEASE posting and RELEASING, what is left, at once
    release   RELEASING, at the service too    → RELEASED

Each may be killed at any point and run again, or twice at a time: rows are locked while they are decided on,
and the service takes a release as often as it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import structlog

from exchange.base.database import Transaction, array, transaction
from exchange.base.env import env
from exchange.base.ids import uuid7
from matching.core.scale import minor_text
from matching.core.types import Side
from trading.ledger import writer
from trading.ledger.accounts import account_book, publish_balance_change
from trading.models import Transaction as LedgerTransaction
from trading.reference.catalog import catalog
from trading.wallet.client import wallet

log = structlog.get_logger(__name__)

BATCH = 200
SLACK = 2.0  # seconds beyond what an intake may take: by then it will hardly come

_ABANDON = """
    WITH old AS (
        SELECT id FROM trading_reservation
         WHERE state = 'RESERVING' AND created_at < now() - make_interval(secs => %s)
         ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
    UPDATE trading_reservation AS r SET state = 'RELEASING', surplus = amount, updated_at = now()
      FROM old WHERE r.id = old.id"""

# A HELD reservation has its order: the same transaction made both.
_CLOSED = """
    SELECT id::text, amount FROM trading_reservation AS r
     WHERE state = 'HELD'
       AND NOT EXISTS (SELECT FROM trading_order AS o WHERE o.id = r.id AND o.closed_at IS NULL)
     ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"""

_ORDERS = """
    SELECT o.id::text, o.user_id::text, o.instrument_id, o.side, o.filled_quantity, o.filled_notional, o.fee,
           o.trace_id, o.hold_account_id, o.receive_account_id, hold.institution_id::text
      FROM trading_order o JOIN trading_account hold ON hold.id = o.hold_account_id
     WHERE o.id = ANY (%s::uuid[])"""

_CLOSE = """
    UPDATE trading_reservation AS r
       SET state = 'RELEASING', surplus = n.surplus, release_id = n.release_id, updated_at = n.now
      FROM (SELECT *, %s::timestamptz AS now FROM unnest(%s::uuid[], %s::numeric[], %s::uuid[])
                AS t (id, surplus, release_id)) AS n
     WHERE r.id = n.id"""

# One that the service has refused to release waits for people, and is tried once a minute.
_TO_RELEASE = """
    SELECT id::text, surplus, user_id::text FROM trading_reservation
     WHERE state = 'RELEASING' AND (problem = '' OR updated_at < now() - interval '1 minute')
     ORDER BY id LIMIT %s"""

_RELEASED = """
    UPDATE trading_reservation SET state = 'RELEASED', problem = '', updated_at = now()
     WHERE id = ANY (%s::uuid[]) AND state = 'RELEASING'"""

_STUCK = """
    UPDATE trading_reservation SET problem = %s, updated_at = now() WHERE id = %s AND state = 'RELEASING'"""


class Order(NamedTuple):
    """A row of `_ORDERS`."""

    id: str
    user_id: str
    instrument: int
    side: str
    filled: Decimal
    notional: Decimal
    fee: Decimal
    trace_id: str
    hold_account: int
    receive_account: int
    institution: str


class Closer:
    """One per process. `connect` gives a connection in autocommit mode."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None

    def run(self) -> int:
        """All that is due; how many were released. Raises psycopg.Error, WalletUnavailable."""
        self.abandon()
        while self.close() == BATCH:
            pass
        released = 0
        while (done := self.release()) > 0:
            released += done
        return released

    def abandon(self) -> int:
        """Give up what no intake has come for."""
        patience = env.wallet_timeout + env.exchange_order_timeout + SLACK
        return self._live().execute(_ABANDON, (patience, BATCH)).rowcount

    def close(self) -> int:
        """Take what closed orders have left over, and have received, out of their users' accounts."""
        now = datetime.now(UTC).isoformat()
        with transaction(self._live()) as tx:
            (rows,) = tx.fetch((_CLOSED, (BATCH,)))
            amounts: dict[str, Decimal] = dict(rows)
            if not amounts:
                return 0
            (found,) = tx.fetch((_ORDERS, (array(amounts),)))
            orders = [Order(*row) for row in found]
            assert len(orders) == len(amounts), "an order is never deleted"
            _write(tx, orders, amounts, now)
        publish_balance_change(sorted({order.user_id for order in orders}))
        return len(orders)

    def release(self) -> int:
        """Have the service release what is left over; how many it released."""
        rows = self._live().execute(_TO_RELEASE, (BATCH,)).fetchall()
        if not rows:
            return 0
        items = [{"reservation_id": name, "amount": f"{left:f}"} for name, left, _ in rows]
        answers = wallet().release(items)
        publish_balance_change(
            sorted({user for *_, user in rows})
        )  # first, so that it is told again if we die here
        done = [name for name, answer in answers.items() if answer.status == "RELEASED"]
        self._live().execute(_RELEASED, (array(done),))
        for name, answer in answers.items():
            if answer.status != "RELEASED":
                log.error("wallet service does not release", reservation=name, reason=answer.reason[:50])
                self._live().execute(_STUCK, (answer.reason[:50] or "refused", name))
        return len(done)

    def _live(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection


def _write(tx: Transaction, orders: list[Order], amounts: dict[str, Decimal], now: str) -> None:
    entries, surplus, releases = writer.Entries(), [], []
    for order in orders:
        market = catalog.by_id(order.instrument)
        base, quote = market.base, market.quote
        buying = order.side == Side.BUY.name
        paid, got = (quote, base) if buying else (base, quote)
        consumed = order.notional if buying else order.filled
        received = (order.filled if buying else order.notional) - order.fee
        left = int((amounts[order.id] - consumed).scaleb(paid.scale))
        assert left >= 0, f"order {order.id} consumed more than it reserved"
        gain = int(received.scaleb(got.scale))
        legs = (
            (order.hold_account, paid.id, -left, paid.scale),
            (account_book.of_wallet(order.institution, paid.id), paid.id, left, paid.scale),
            (order.receive_account, got.id, -gain, got.scale),
            (account_book.of_wallet(order.institution, got.id), got.id, gain, got.scale),
        )
        releases.append(uuid7())
        surplus.append(minor_text(left, paid.scale))
        entries.add(releases[-1], LedgerTransaction.Kind.RELEASE.value, order.trace_id, now, legs)
    writer.write_transactions(tx, entries)
    writer.write_postings(tx, entries)
    values = (now, array(order.id for order in orders), array(surplus), array(releases))
    tx.queue(_CLOSE, values, expect=len(orders))
