"""What must hold once the load pauses, read from PostgreSQL past the services, and `manage.py verify`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import psycopg

from exchange.embedded.stack import PROJECT
from matching.codec import decode_envelopes
from matching.order_status import OrderStatus
from tests.simulation.faults.promises import Promises, State

QUIET_SECONDS = 90.0
VERIFY_SECONDS = 300.0

_UNDONE = """
    SELECT (SELECT count(*) FROM trading_order WHERE closed_at IS NULL AND status = 'PENDING'),
           (SELECT count(*) FROM trading_pendingcommand)"""

_ORDERS = """
    SELECT o.id::text, o.number, o.client_order_id, i.symbol, o.status, o.price, o.quantity,
           o.filled_quantity, o.remaining_quantity, o.fee, o.reason, o.filled_notional
      FROM trading_order o JOIN trading_instrument i ON i.id = o.instrument_id
      JOIN members_user u ON u.id = o.user_id WHERE u.email = ANY (%s)"""

_FILLS = """
    SELECT order_id::text, sum(quantity), sum(notional), sum(fee)
      FROM (SELECT buyer_order_id AS order_id, quantity, price * quantity AS notional, buyer_fee AS fee
              FROM trading_trade
            UNION ALL
            SELECT seller_order_id, quantity, price * quantity, seller_fee FROM trading_trade) AS sides
     GROUP BY order_id"""

Fills = dict[str, list[Decimal]]  # by order: quantity, notional, fee

_JOURNAL = "SELECT id, commands FROM matching_journalbatch WHERE id > %s ORDER BY id"


class Checks:
    """`url` is PostgreSQL's, `environment` what `manage.py` needs to reach it."""

    def __init__(self, url: str, environment: dict[str, str]) -> None:
        self._url = url
        self._environment = environment
        self._journal_seen = 0
        self._commands: Counter[str] = Counter()

    def wait_quiet(self, seconds: float = QUIET_SECONDS) -> str:
        """Until every accepted command has been applied; what is undone after `seconds`, else nothing."""
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while undone := self._undone():
            if time.monotonic() > deadline:
                return f"not applied after {seconds:g} s: {undone}"
            pause.wait(0.05)
        return ""

    def problems(self, traders: dict[str, Promises]) -> Iterator[str]:
        """What breaks a promise to one of the `traders` (by e-mail), or was done twice."""
        with psycopg.connect(self._url) as connection:
            orders = connection.execute(_ORDERS, [list(traders)]).fetchall()
            fills: Fills = {order: totals for order, *totals in connection.execute(_FILLS)}
            yield from self._applied_twice(connection)
        yield from _misstated_fills(orders, fills)
        states = [_state(row) for row in orders]
        promises = {name: each for each in traders.values() for name in each.asked}
        for name, count in Counter(state.client_order_id for state in states).items():
            if count > 1:
                yield f"{count} orders under client_order_id {name}"
            if name not in promises:
                yield f"an order that nobody placed, under client_order_id {name}"
        found = {state.client_order_id: state for state in states}
        for name, promised in promises.items():
            if name in found:
                promised.saw(found[name], "PostgreSQL has")
            elif name in promised.seen:
                yield f"lost: {promised.seen[name]}"
            else:
                yield f"neither placed nor refused: {name}"

    def verify(self, *arguments: str) -> tuple[int, Any]:
        """Exit code and JSON of `manage.py verify`; its text where that is no JSON."""
        command = [sys.executable, "manage.py", "verify", "--json", *arguments]
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=VERIFY_SECONDS,
        )
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            return done.returncode or 1, (done.stdout + done.stderr).strip()

    def _undone(self) -> str:
        try:
            with psycopg.connect(self._url, connect_timeout=5) as connection:
                orders, changes = connection.execute(_UNDONE).fetchone() or (0, 0)
        except psycopg.OperationalError as error:
            return f"PostgreSQL: {str(error).strip()}"
        return f"{orders} orders, {changes} other commands" if orders or changes else ""

    def _applied_twice(self, connection: psycopg.Connection[Any]) -> Iterator[str]:
        for number, commands in connection.execute(_JOURNAL, [self._journal_seen]):
            self._journal_seen = number
            for envelope in decode_envelopes(commands):
                self._commands[envelope.command.id] += 1
                if self._commands[envelope.command.id] > 1:
                    yield f"applied again in journal batch {number}: {envelope}"


def _state(row: Sequence[Any]) -> State:
    order_id, number, client_order_id, symbol, status, price, quantity, filled, remaining, fee, reason, _ = (
        row
    )
    return State(
        order_id,
        number,
        client_order_id,
        symbol,
        OrderStatus(status),
        price,
        quantity,
        filled,
        remaining,
        fee,
        reason,
    )


def _misstated_fills(orders: Sequence[Sequence[Any]], fills: Fills) -> Iterator[str]:
    for row in orders:
        filled, fee, notional = row[7], row[9], row[11]
        if [filled, notional, fee] != fills.get(row[0], [0, 0, 0]):
            yield f"order {row[2]} says {filled}, {notional}, {fee} filled; its trades {fills.get(row[0])}"
