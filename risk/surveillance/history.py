"""Reads of the windows: what the detectors are given, and what has become too old to keep.

A read is bounded: beyond `MOST` rows it gives the newest, and says so in the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import connection

from risk.detectors.records import DAY, SECOND, DisplayedOrder, Flow, Owners, Side, Trade

MOST = 20_000  # some two seconds' work
KEEP_TRADES = 7 * DAY + 3600 * SECOND  # the longest window, and an hour for what comes late
KEEP_ORDERS = 2 * DAY
KEEP_OPEN = 90 * DAY  # an order whose end never came
AT_ONCE = 20_000  # rows that are pruned at a time

_MICROS = "(extract(epoch FROM {}) * 1000000)::bigint"
_TRADE = f"""
    SELECT id::text, {_MICROS.format("at")}, price, quantity, buyer_id::text, seller_id::text,
           buyer_order_id::text, seller_order_id::text, buyer_is_maker
      FROM risk_seentrade WHERE symbol = %s AND at >= %s AND at < %s"""  # noqa: S608 - constants
_NEWEST = " ORDER BY at DESC, id DESC LIMIT %s"
_AMONG = " AND buyer_id = ANY (%s::uuid[]) AND seller_id = ANY (%s::uuid[])"
_FLOWS = """
    SELECT seller_id::text, buyer_id::text, count(*), sum(quantity)
      FROM risk_seentrade WHERE symbol = %s AND at >= %s AND at < %s GROUP BY 1, 2"""
_SHOWN = f"""
    SELECT order_id::text, user_id::text, side, price, quantity, filled, withdrawn, {_MICROS.format("opened_at")},
           {_MICROS.format("closed_at")}
      FROM risk_shownorder
     WHERE symbol = %s AND (closed_at >= %s OR closed_at IS NULL) AND opened_at < %s
     ORDER BY opened_at DESC, id DESC LIMIT %s"""  # noqa: S608
_NEWS = """
    SELECT EXISTS (SELECT FROM risk_seentrade WHERE symbol = %s AND at >= %s)
        OR EXISTS (SELECT FROM risk_shownorder WHERE symbol = %s AND closed_at >= %s)"""
_PRUNE = (
    ("DELETE FROM risk_seentrade WHERE id IN (SELECT id FROM risk_seentrade WHERE at < %s LIMIT %s)", KEEP_TRADES),
    (
        "DELETE FROM risk_shownorder WHERE id IN (SELECT id FROM risk_shownorder WHERE closed_at < %s LIMIT %s)",
        KEEP_ORDERS,
    ),
    (
        """DELETE FROM risk_shownorder WHERE id IN (SELECT id FROM risk_shownorder
            WHERE closed_at IS NULL AND opened_at < %s LIMIT %s)""",
        KEEP_OPEN,
    ),
    (
        """DELETE FROM risk_raisedfinding WHERE subject IN (SELECT subject FROM risk_raisedfinding
            WHERE until < %s LIMIT %s)""",
        2 * KEEP_TRADES,
    ),
)  # fmt: skip

log = structlog.get_logger(__name__)


def micros(moment: datetime) -> int:
    return round(moment.timestamp() * SECOND)


def moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / SECOND, tz=UTC)


def trades(symbol: str, since: int, until: int) -> list[Trade]:
    """By time."""
    return _trades(_TRADE + _NEWEST, symbol, [symbol, moment(since), moment(until), MOST])


def trades_among(symbol: str, since: int, until: int, users: Iterable[str]) -> list[Trade]:
    """Those of which both sides are among `users`, by time; an owner's key among them is no user."""
    named = [user for user in users if _is_id(user)]
    window = [symbol, moment(since), moment(until)]
    return _trades(_TRADE + _AMONG + _NEWEST, symbol, [*window, named, named, MOST])


def flows(symbol: str, since: int, until: int) -> dict[tuple[str, str], Flow]:
    """All trades of the window, added up by seller and buyer."""
    rows = _rows(_FLOWS, [symbol, moment(since), moment(until)])
    return {(seller, buyer): Flow(count, quantity) for seller, buyer, count, quantity in rows}


def shown(symbol: str, since: int, until: int) -> list[DisplayedOrder]:
    """What the book showed in the window, by when it was placed."""
    rows = _rows(_SHOWN, [symbol, moment(since), moment(until), MOST])
    _say_if_cut("orders", symbol, rows)
    return [DisplayedOrder(row[0], row[1], Side(row[2]), *row[3:]) for row in reversed(rows)]


def has_news(symbol: str, since: int) -> bool:
    at = moment(since)
    return bool(_rows(_NEWS, [symbol, at, symbol, at])[0][0])


def owners() -> Owners:
    """The owner of each user who has been linked to one."""
    return dict(_rows("SELECT user_id::text, owner_key FROM risk_ownerlink", []))


def prune(now: int) -> int:
    """Drop what is too old, a bounded number of rows; how many."""
    dropped = 0
    with connection.cursor() as cursor:
        for sql, age in _PRUNE:
            cursor.execute(sql, [moment(now - age), AT_ONCE])
            dropped += cursor.rowcount
    return dropped


def _trades(sql: str, symbol: str, params: list[Any]) -> list[Trade]:
    rows = _rows(sql, params)
    _say_if_cut("trades", symbol, rows)
    return [Trade(*row) for row in reversed(rows)]


def _is_id(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


def _rows(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def _say_if_cut(what: str, symbol: str, rows: list[Any]) -> None:
    if len(rows) == MOST:
        log.warning("surveillance sees only the newest of a window", what=what, symbol=symbol, rows=MOST)
