"""What a price lets go: each stop it reached becomes a `Trigger` command, which a matcher carries out.

    what moved → its price → who waits for that → durable commands, one transaction → stream → off the list

A BUY stop goes at a price at or above its stop price, a SELL stop at or below, whatever kind it is. A price
between two ticks counts for a buyer as the tick below and for a seller as the tick above, so none goes too
early; that tick is the trigger price. Those that a price reached first go first, of equals the oldest.

Once, whatever happens (docs/decisions/030). The inbox takes one trigger for an order at a time, none for one that does
not wait, and the core refuses what comes in between. Killed before the commit, nothing was done; after it, the command
is in the inbox and the sweep sends it; a stop that was not taken off the list is found to have gone. So this may run
anywhere, again, and twice at a time.

Stops go while their market is TRADING only. In any other status they stay armed, and when trading resumes it
is the price of then that counts. A command that a halt overtook is refused by the core; its stop is off the
list then, which is why a market that resumes is read again.

Known limitation: what counts is the price at the moment of the check. One that comes and goes between two
checks lets nothing go.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from decimal import Decimal, InvalidOperation
from typing import Any

import psycopg
import redis
import structlog

from exchange.base import ids, metrics
from exchange.base.database import array, transaction
from matching.codec import Envelope, encode
from matching.core.commands import Trigger
from matching.core.types import MarketStatus, Side
from trading.orders import audit
from trading.orders.dispatch import Dispatcher
from trading.reference.catalog import Market, catalog
from trading.stops import watchlist
from trading.stops.rebuild import Connect, rebuild
from trading.stops.watchlist import Look

log = structlog.get_logger(__name__)

_ARMED = """
    SELECT id::text, trace_id FROM trading_order WHERE id = ANY (%s::uuid[]) AND status = 'PENDING_TRIGGER'"""
_SEND = """
    INSERT INTO trading_pendingcommand (id, "group", order_id, kind, envelope, held, created_at)
    SELECT id, g, order_id, 'Trigger', envelope, 0, now()
      FROM unnest(%s::uuid[], %s::text[], %s::uuid[], %s::bytea[]) AS t (id, g, order_id, envelope)
    ON CONFLICT DO NOTHING RETURNING id::text"""


class Checker:
    """Remembers between two runs which markets are not trading, and whether the list of what moved can be
    relied on: it cannot when a run did not come to its end."""

    def __init__(self, client: redis.Redis, connect: Connect) -> None:
        self._client = client
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None
        self._dispatcher = Dispatcher()
        self._paused: set[str] = set()
        self._look_at_all = True

    def run(self) -> int:
        """Check what moved and complete the watch list; how many stops went. May raise redis.RedisError,
        psycopg.Error, django.db.Error; the next run then looks at everything."""
        look_at_all, self._look_at_all = self._look_at_all, True
        try:
            gone = self._check({market.symbol for market in catalog.markets()} if look_at_all else set())
            built = watchlist.built(self._client)
            missing = [market for market in catalog.markets() if market.symbol not in built]
            if missing:
                with closing(rebuild(self._client, self._connect, missing)) as parts:
                    for _ in parts:
                        gone += self._check(set())
        except psycopg.Error:
            self.close()
            raise
        self._look_at_all = False
        return gone

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _check(self, symbols: set[str]) -> int:
        """Let go what the prices of `symbols` and of what moved have reached."""
        self._watch_status()
        started = time.perf_counter()
        due = symbols | watchlist.pop_moved(self._client)
        if not due:
            return 0
        gone = 0
        looks = self._looks(sorted(due - self._paused))
        while looks:
            found = dict(zip(looks, watchlist.reached(self._client, looks), strict=True))
            gone += self._trigger({look: orders for look, orders in found.items() if orders})
            looks = [look for look, orders in found.items() if len(orders) == watchlist.AT_ONCE]
        metrics.stops_check_seconds.observe(time.perf_counter() - started)
        return gone

    def _watch_status(self) -> None:
        paused = {market.symbol for market in catalog.markets() if market.status is not MarketStatus.TRADING}
        if resumed := self._paused - paused:
            watchlist.invalidate(self._client, resumed)
        self._paused = paused

    def _looks(self, symbols: list[str]) -> list[Look]:
        looks: list[Look] = []
        if not symbols:
            return looks
        for symbol, text in watchlist.prices(self._client, symbols).items():
            market = catalog.market(symbol)
            around = market and market.scale.ticks_around(_decimal(text))
            if around:
                looks += [Look(symbol, side, price) for side, price in zip(Side, around, strict=True)]
            else:
                log.warning("not a price of a market", symbol=symbol, price=text)
        return looks

    def _trigger(self, found: dict[Look, list[str]]) -> int:
        """Make the commands for those that still wait durable and send them; none of them is on the list
        after that."""
        if not found:
            return 0
        outgoing = self._make_durable(found)
        self._dispatcher.send(outgoing)
        pipe = self._client.pipeline(transaction=False)
        for (symbol, side, _), orders in found.items():
            watchlist.disarm(pipe, symbol, side, orders)
        pipe.execute()
        gone = sum(map(len, outgoing.values()))
        metrics.stops_triggered.inc(gone)
        return gone

    def _make_durable(self, found: dict[Look, list[str]]) -> dict[str, list[Envelope]]:
        """By group, the commands that were not there before."""
        with transaction(self._live()) as tx:
            (rows,) = tx.fetch((_ARMED, (array(order for orders in found.values() for order in orders),)))
            traces: dict[str, str] = dict(rows)
            commands = [
                (market.group, _envelope(market, look.price, order, traces[order]))
                for look, orders in found.items()
                if (market := catalog.market(look.symbol)) is not None
                for order in orders
                if order in traces
            ]
            if not commands:
                return {}
            (written,) = tx.fetch((_SEND, _values(commands)))
            new = {row[0] for row in written}
            triggers = [envelope for _, envelope in commands if envelope.command.id in new]
            audit.record_triggers(tx, triggers, audit.STOPS)
        outgoing: dict[str, list[Envelope]] = defaultdict(list)
        for group, envelope in commands:
            if envelope.command.id in new:
                outgoing[group].append(envelope)
        return outgoing

    def _live(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect("exchange stops")
        return self._connection


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


def _envelope(market: Market, price: int, order: str, trace_id: str) -> Envelope:
    command = Trigger(ids.uuid7(), market.id, order, price, market.collar_ppm)
    return Envelope(command, trace_id or f"stop-{order}")


def _values(commands: Iterable[tuple[str, Envelope]]) -> tuple[Any, ...]:
    rows = [(group, envelope, envelope.command) for group, envelope in commands]
    return (
        array(command.id for _, _, command in rows),
        [group for group, _, _ in rows],
        array(command.order for _, _, command in rows if isinstance(command, Trigger)),
        [encode(envelope) for _, envelope, _ in rows],
    )
