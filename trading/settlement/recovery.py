"""A group's books and blotter, rebuilt from PostgreSQL: at a worker's start and after every failed
settlement.

Reads open orders only, by the partial index on them; PENDING ones are not in a book yet, their commands are
in the stream or come by the sweep. `load` changes nothing, so `verify` uses it too; `recover` takes ownership
first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg

from matching.core.engine import Engine
from matching.core.level import Order as BookOrder
from matching.core.scale import InstrumentScale
from matching.order_status import OrderStatus
from trading.orders.order import SELECTED, USER, WIDTH, read_terms
from trading.reference.catalog import Market, catalog
from trading.settlement.blotter import Blotter, LiveOrder


@dataclass
class Loaded:
    """Books and blotter of some markets."""

    engine: Engine
    blotter: Blotter
    markets: dict[int, Market]

    @property
    def symbols(self) -> dict[int, tuple[str, InstrumentScale]]:
        return {market.id: (market.symbol, market.scale) for market in self.markets.values()}


@dataclass
class Owned(Loaded):
    """The same, owned by a worker under its epoch. `listed` are the ids of the group's instruments, also of those
    that no market can be made of."""

    epoch: int
    sequence: int
    position: str
    listed: frozenset[int]

    def add(self, found: Loaded) -> None:
        """Markets that are new in the group; no worker can have matched them under this epoch."""
        self.engine.books |= found.engine.books
        self.blotter.orders |= found.blotter.orders
        self.markets |= found.markets


# The open orders first: with many accounts the planner may else start from those and read all orders for each.
_OPEN_ORDERS = f"""
    WITH o AS MATERIALIZED (
        SELECT * FROM trading_order WHERE instrument_id = ANY (%s) AND closed_at IS NULL
           AND status IN ('OPEN', 'PARTIALLY_FILLED', 'PENDING_TRIGGER'))
    SELECT {SELECTED}, o.status, o.priority, (o.remaining_quantity / i.lot_size)::bigint,
           o.number, o.client_order_id, o.hold_account_id, o.receive_account_id, fees.id,
           o.maker_fee_rate, o.taker_fee_rate, (o.filled_quantity / i.lot_size)::bigint,
           (o.filled_notional * power(10::numeric, quote.scale))::numeric(60, 0),
           (o.fee * power(10::numeric, received.scale))::numeric(60, 0),
           coalesce((o.trigger_price / i.tick_size)::bigint, 0)
      FROM o
      JOIN trading_instrument i ON i.id = o.instrument_id
      JOIN trading_asset quote ON quote.id = i.quote_id
      JOIN trading_account receive ON receive.id = o.receive_account_id
      JOIN trading_asset received ON received.id = receive.asset_id
      JOIN trading_account fees ON fees.institution_id = receive.institution_id AND fees.asset_id = receive.asset_id
                               AND fees.kind = 'FEES'
     ORDER BY o.priority"""

_STATE = """
    SELECT epoch, ARRAY(SELECT id FROM trading_instrument i WHERE i.group_id = c.group_id)
      FROM matching_checkpoint c WHERE group_id = %s"""

_LAST_TRADES = (
    "SELECT i, (SELECT max(number) FROM trading_trade WHERE instrument_id = i) FROM unnest(%s::bigint[]) AS i"
)


def recover(connection: psycopg.Connection[Any], group: str) -> Owned:
    """Raise the group's epoch, which ends every earlier owner, and load its books."""
    row = connection.execute(
        """INSERT INTO matching_checkpoint AS c (group_id, epoch, sequence, position, updated_at)
           VALUES (%s, 1, 0, '0-0', now())
           ON CONFLICT (group_id) DO UPDATE SET epoch = c.epoch + 1, updated_at = now()
           RETURNING epoch, sequence, position""",
        (group,),
    ).fetchone()
    assert row is not None
    epoch, sequence, position = row
    listed = read_state(connection, group).listed
    catalog.clear_cache()
    loaded = load(connection, [market for market in catalog.markets() if market.group == group])
    return Owned(loaded.engine, loaded.blotter, loaded.markets, epoch, sequence, position, listed)


class State(NamedTuple):
    epoch: int
    listed: frozenset[int]


def read_state(connection: psycopg.Connection[Any], group: str) -> State:
    """Who owns the group now, and which instruments are in it."""
    row = connection.execute(_STATE, (group,), prepare=True).fetchone()
    assert row is not None, "a group that was taken over has a checkpoint"
    return State(row[0], frozenset(row[1]))


def load(connection: psycopg.Connection[Any], markets: list[Market]) -> Loaded:
    """The books of `markets` as the database has them."""
    by_id = {market.id: market for market in markets}
    engine, blotter = Engine(), Blotter(by_id.__getitem__)
    last_trades = dict(connection.execute(_LAST_TRADES, (list(by_id),)).fetchall())
    for market in markets:
        engine.add(market.id, market.status, last_trades.get(market.id) or 0, market.priority_offset)
    users: dict[str, str] = {}
    with connection.cursor(binary=True) as cursor:
        for row in cursor.execute(_OPEN_ORDERS, (list(by_id),)):
            _restore(engine, blotter, by_id, users, row)
    return Loaded(engine, blotter, by_id)


def _restore(
    engine: Engine, blotter: Blotter, markets: dict[int, Market], users: dict[str, str], row: tuple[Any, ...]
) -> None:
    found = list(row[:WIDTH])
    found[USER] = users.setdefault(found[USER], found[USER])  # one string per user, however many orders
    terms = read_terms(found)
    status, priority, remaining, number, name = row[WIDTH : WIDTH + 5]
    hold, receive, fees, maker_rate, taker_rate, filled, notional, fee, trigger_price = row[WIDTH + 5 :]
    order = BookOrder.from_terms(terms, remaining, priority)
    engine.books[terms.instrument].restore_order(order, armed=status == OrderStatus.PENDING_TRIGGER)
    blotter.orders[terms.id] = LiveOrder(
        terms=terms,
        market=markets[terms.instrument],
        number=number,
        client_order_id=name,
        hold_account=hold,
        receive_account=receive,
        fee_account=fees,
        maker_rate=maker_rate,
        taker_rate=taker_rate,
        status=OrderStatus(status),
        remaining=remaining,
        filled=filled,
        notional=int(notional),
        fee=int(fee),
        priority=priority,
        trigger_price=trigger_price,
    )
