"""Settlement: what a batch of commands did becomes durable, in one transaction that this file opens.

Orders, trades, ledger, outbox, journal and checkpoint commit together or not at all (docs/decisions/005). The
connection holds the group's advisory lock, so losing it loses the ownership too, and every settlement names the
epoch it believes in.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import psycopg
import redis
from django.db import connections
from redis.client import Pipeline

from exchange.base import metrics
from exchange.base.database import Transaction, Unexpected, array, transaction
from exchange.base.times import rfc3339
from exchange.platform.events import outbox
from exchange.platform.events.wakeup import wake_relay
from matching.codec import Envelope, decode_envelope, encode
from matching.core.commands import Place
from matching.core.scale import minor_text
from matching.core.types import Side
from matching.feed import BookChange, Levels
from matching.order_status import CLOSED
from matching.worker import Applied, Overtaken
from risk.pretrade import exposure
from trading.ledger import writer
from trading.orders.events import book_event
from trading.orders.pending import PendingOrders
from trading.reference.catalog import Market, catalog
from trading.settlement.blotter import Blotter, LiveOrder, SettlementRows
from trading.settlement.recovery import Owned, load, read_state, recover
from trading.stops import watchlist

LOCK_RETRY_SECONDS = 0.2
LOCK_CLASS = 7461  # first key of the advisory locks of matching workers

_TRADE_COLUMNS = (
    "id, number, instrument_id, price, quantity, buyer_order_id, seller_order_id, buyer_id, seller_id, "
    "is_buyer_maker, buyer_fee, seller_fee, executed_at"
)

_PENDING_PLACES = "SELECT id::text FROM trading_order WHERE id = ANY (%s::uuid[]) AND status = 'PENDING'"
_PENDING_CHANGES = "SELECT id::text FROM trading_pendingcommand WHERE id = ANY (%s::uuid[])"

_GROUPS = "SELECT id, group_id FROM trading_instrument WHERE id = ANY (%s::bigint[])"
_FORWARD = 'UPDATE trading_pendingcommand SET "group" = %s WHERE id = ANY (%s::uuid[])'

# One row of each: none if another worker owns the group by now.
_CHECKPOINT_AND_JOURNAL = """
    WITH checkpoint AS (
        UPDATE matching_checkpoint SET sequence = %s, position = %s, updated_at = now()
         WHERE group_id = %s AND epoch = %s AND sequence = %s RETURNING group_id, epoch, sequence)
    INSERT INTO matching_journalbatch (group_id, epoch, first_sequence, last_sequence, commands, created_at)
    SELECT group_id, epoch, %s, sequence, %s, %s FROM checkpoint"""

_UPDATE_ORDERS = """
    UPDATE trading_order AS o
       SET status = n.status, remaining_quantity = n.remaining, filled_quantity = n.filled,
           filled_notional = n.notional, fee = n.fee, held = n.held, reason = n.reason, priority = n.priority,
           quantity = n.quantity, price = CASE WHEN o.price IS NULL THEN NULL ELSE n.worst_price END,
           trigger_price = coalesce(n.trigger_price, o.trigger_price),
           triggered_at = CASE WHEN n.trigger_price IS NULL THEN o.triggered_at ELSE coalesce(o.triggered_at,
           n.now) END, updated_at = n.now, closed_at = CASE WHEN n.closed THEN n.now END
      FROM (SELECT *, %s::timestamptz AS now FROM unnest(
            %s::uuid[], %s::text[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[],
            %s::text[], %s::bigint[], %s::numeric[], %s::numeric[], %s::numeric[], %s::boolean[]) AS t (id,
            status, remaining, filled, notional, fee, held, reason, priority, quantity, worst_price, trigger_price,
                  closed)) AS n
     WHERE o.id = n.id"""


class GroupSettlement:
    """Implements `matching.worker.Settlement` for one group."""

    def __init__(
        self, group: str, connect: Callable[[], psycopg.Connection[Any]], stop: threading.Event | None = None
    ) -> None:
        self.group = group
        self._connect = connect
        self._stop = stop or threading.Event()
        self._connection: psycopg.Connection[Any] | None = None
        self._blotter: Blotter
        self.owned: Owned

    def take_over(self) -> Owned:
        """Raises InterruptedError if asked to stop while another worker owns the group."""
        self.close()
        self._connection = self._connect()
        self._wait_for_lock()
        self.owned = recover(self._connection, self.group)
        self._blotter = self.owned.blotter
        self._places = PendingOrders(self.owned.markets)
        return self.owned

    def still_pending(self, envelopes: Sequence[Envelope]) -> list[Envelope]:
        once = {envelope.command.id: envelope for envelope in envelopes}
        places = [e.command.id for e in once.values() if isinstance(e.command, Place)]
        others = [e.command.id for e in once.values() if not isinstance(e.command, Place)]
        pending: set[str] = set()
        for sql, commands in ((_PENDING_PLACES, places), (_PENDING_CHANGES, others)):
            if commands:
                rows = self._live.execute(sql, (array(commands),), prepare=True).fetchall()
                pending.update(row[0] for row in rows)
        return [envelope for command, envelope in once.items() if command in pending]

    def renew(self) -> bool:
        state = read_state(self._live, self.group)
        if state.epoch != self.owned.epoch:
            return False
        if state.listed - self.owned.listed:
            catalog.clear_cache()
            new = [m for m in catalog.markets() if m.group == self.group and m.id not in self.owned.markets]
            self.owned.add(load(self._live, new))
            self.owned.listed = state.listed
            self._places = PendingOrders(self.owned.markets)
        return True

    def pass_on(self, envelopes: Sequence[Envelope]) -> dict[str, list[Envelope]]:
        instruments = {envelope.command.instrument for envelope in envelopes}
        groups = dict(self._live.execute(_GROUPS, (array(instruments),)).fetchall())
        passed: dict[str, list[Envelope]] = defaultdict(list)
        for envelope in envelopes:
            passed[groups.get(envelope.command.instrument, self.group)].append(envelope)
        passed.pop(self.group, None)  # of a market that cannot be matched: they stay pending
        with transaction(self._live) as tx:
            for group, theirs in passed.items():
                tx.queue(_FORWARD, (group, array(envelope.command.id for envelope in theirs)))
        return passed

    def inbox(self) -> list[Envelope]:
        rows = self._live.execute(
            'SELECT envelope FROM trading_pendingcommand WHERE "group" = %s ORDER BY id LIMIT 1000',
            (self.group,),
        ).fetchall()
        commands = [decode_envelope(row[0]) for row in rows]
        places = self._places.read(self._live)  # read second: a command's order is among them
        return sorted([*places, *commands], key=lambda envelope: envelope.command.id)

    def settle(
        self, applied: Sequence[Applied], position: str, changes: Sequence[BookChange] = ()
    ) -> SettlementRows:
        now = datetime.now(UTC)
        rows = SettlementRows(now=rfc3339(now, "microseconds"), now_us=int(now.timestamp() * 1_000_000))
        for envelope, _, events in applied:
            self._blotter.record(rows, envelope, events)
        rows.messages += [_book_message(self.owned.markets, each, applied[-1], rows.now) for each in changes]
        try:
            with transaction(self._live) as tx:
                self._write(tx, rows, applied, position)
        except Unexpected as error:
            if read_state(self._live, self.group).epoch != self.owned.epoch:
                raise Overtaken(f"group {self.group} is past epoch {self.owned.epoch}") from error
            raise
        wake_relay()
        self.owned.sequence = applied[-1][1]
        metrics.fills.inc(len(rows.trades))
        return rows

    def announce(self, pipe: Pipeline, settled: SettlementRows) -> None:
        """The stops that are armed now and those that are armed no more; what became of counted orders."""
        exposure.record(
            pipe, [counted for order in settled.orders.values() if (counted := _exposure_change(order))]
        )
        for change in settled.stops:
            if change.price:
                watchlist.arm(pipe, change.symbol, change.side, change.order_id, change.price)
            else:
                watchlist.disarm(pipe, change.symbol, change.side, [change.order_id])

    def found_redis(self, client: redis.Redis) -> None:
        watchlist.invalidate(client, [market.symbol for market in self.owned.markets.values()])

    def close(self) -> None:
        """Let go of the group: its lock ends with the connection. Django's own connection may be as dead, so
        it goes too."""
        connections["default"].close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(
        self, tx: Transaction, rows: SettlementRows, applied: Sequence[Applied], position: str
    ) -> None:
        first, last = applied[0][1], applied[-1][1]
        owned = (last, position, self.group, self.owned.epoch, self.owned.sequence)
        journal = encode([envelope for envelope, _, _ in applied])
        tx.queue(_CHECKPOINT_AND_JOURNAL, (*owned, first, journal, rows.now), expect=1)
        tx.copy(outbox.TABLE, outbox.COLUMNS, rows.messages)
        tx.copy("trading_trade", _TRADE_COLUMNS, rows.trades)
        writer.write_transactions(tx, rows.ledger)
        writer.write_postings(tx, rows.ledger)
        if changes := [e.command.id for e, _, _ in applied if not isinstance(e.command, Place)]:
            tx.queue("DELETE FROM trading_pendingcommand WHERE id = ANY (%s::uuid[])", (array(changes),))
        if rows.orders:
            orders = sorted(rows.orders.values(), key=attrgetter("order_id"))
            tx.queue(_UPDATE_ORDERS, _order_values(orders, rows.now), expect=len(orders))
        for instrument, status in rows.markets.items():
            tx.queue(
                "UPDATE trading_instrument SET status = %s WHERE id = %s", (status, instrument), expect=1
            )

    @property
    def _live(self) -> psycopg.Connection[Any]:
        assert self._connection is not None, "take_over comes first"
        return self._connection

    def _wait_for_lock(self) -> None:
        while not self._stop.is_set():
            row = self._live.execute(
                "SELECT pg_try_advisory_lock(%s, hashtext(%s))", (LOCK_CLASS, self.group)
            ).fetchone()
            if row and row[0]:
                return
            self._stop.wait(LOCK_RETRY_SECONDS)
        raise InterruptedError(f"stopped while another worker owns group {self.group}")


def _exposure_change(order: LiveOrder) -> exposure.ExposureChange | None:
    """What happened to the order since it was last counted, if it is anything that exposure counts."""
    closed = order.status in CLOSED
    remaining = 0 if closed else order.remaining
    lots = remaining - order.counted_remaining if order.terms.side is Side.BUY else 0
    unit = 10**order.market.quote.scale
    notional = order.notional * 100 // unit - order.counted_notional * 100 // unit
    traded = order.filled - order.counted_filled
    order.counted_remaining, order.counted_filled, order.counted_notional = (
        remaining,
        order.filled,
        order.notional,
    )
    if not (closed or lots or notional):
        return None
    market = order.market
    places = exposure.unit_places(market.base.scale)
    units = market.scale.base_minor(traded) // 10 ** (market.base.scale - places)
    return exposure.ExposureChange(
        user_id=order.terms.user,
        instrument=market.id,
        currency=market.quote.code,
        base=market.base.id,
        orders=-int(closed),
        lots=lots,
        units=units if order.terms.side is Side.BUY else -units,
        notional=notional,
    )


def _book_message(markets: Mapping[int, Market], change: BookChange, last: Applied, now: str) -> str:
    market, (envelope, sequence, _) = markets[change.instrument], last
    scale = market.scale

    def levels(changed: Levels) -> list[tuple[str, str]]:
        return [(scale.price_text(price), scale.quantity_text(lots)) for price, lots in changed]

    return book_event(
        symbol=market.symbol,
        sequence=sequence,
        bids=levels(change.bids),
        asks=levels(change.asks),
        trace_id=envelope.trace_id,
        timestamp=now,
    )


def _order_values(orders: Sequence[LiveOrder], now: str) -> tuple[str, ...]:
    """The parameters of `_UPDATE_ORDERS`: an array literal per column."""
    scales = [(order, order.market.scale, order.market.quote.scale) for order in orders]
    return (
        now,
        array(order.order_id for order in orders),
        array(order.status.value for order in orders),
        array(scale.quantity_text(order.remaining) for order, scale, _ in scales),
        array(scale.quantity_text(order.filled) for order, scale, _ in scales),
        array(minor_text(order.notional, quote) for order, _, quote in scales),
        array(minor_text(order.fee, order.receive_scale) for order in orders),
        array(minor_text(order.held, order.hold_scale) for order in orders),
        array(order.reason or '""' for order in orders),
        array(order.priority or "NULL" for order in orders),
        array(scale.quantity_text(order.terms.quantity) for order, scale, _ in scales),
        array(scale.price_text(order.terms.price) for order, scale, _ in scales),
        array(
            scale.price_text(order.trigger_price) if order.trigger_price else "NULL"
            for order, scale, _ in scales
        ),
        array("t" if order.status in CLOSED else "f" for order in orders),
    )
