"""Are the positions what the ledger has booked? Per user and asset, in one state of the database.

Both come from the same trades on two ways: the ledger's postings from the matcher's settlement, positions
through the stream of events. Trades that positions have not come to yet (beyond a market's cursor) are taken
off, so a busy exchange can be checked; deposits are no trades.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from django.db import connection

# Every trade moves two assets of two users; `legs` is what one did to them, as the ledger books it.
_DIFFERENCES = """
    WITH markets AS (
        SELECT i.id, i.symbol, i.base, i.quote, coalesce(c.number, 0) AS number
          FROM read_market i LEFT JOIN risk_positioncursor c ON c.symbol = i.symbol
    ), ahead AS (
        SELECT m.base, m.quote, t.* FROM read_trade t JOIN markets m ON m.id = t.instrument_id
         WHERE t.number > m.number
    ), legs AS (
        SELECT p.user_id, m.base AS asset, p.quantity AS counted, 0::numeric AS booked
          FROM risk_position p JOIN markets m USING (symbol)
         UNION ALL
        SELECT p.user_id, m.quote, p.realised - p.cost, 0 FROM risk_position p JOIN markets m USING (symbol)
         UNION ALL
        SELECT buyer_id, base, 0, -(quantity - buyer_fee) FROM ahead
         UNION ALL
        SELECT buyer_id, quote, 0, price * quantity FROM ahead
         UNION ALL
        SELECT seller_id, base, 0, quantity FROM ahead
         UNION ALL
        SELECT seller_id, quote, 0, -(price * quantity - seller_fee) FROM ahead
         UNION ALL
        SELECT p.user_id, s.code, 0, p.amount
          FROM read_posting p JOIN read_asset s ON s.id = p.asset_id WHERE p.kind = 'TRADE'
    )
    SELECT user_id::text, asset, sum(counted), sum(booked) FROM legs
     GROUP BY 1, 2 HAVING sum(counted) <> sum(booked) ORDER BY 1, 2 LIMIT %s"""

_LAG = """
    SELECT i.symbol, t.number - coalesce(c.number, 0) FROM read_instrument i
      JOIN LATERAL (SELECT number FROM read_trade WHERE instrument_id = i.id
                     ORDER BY number DESC LIMIT 1) AS t ON true
      LEFT JOIN risk_positioncursor c ON c.symbol = i.symbol ORDER BY 1"""


class Difference(NamedTuple):
    user: str
    asset: str
    counted: Decimal
    booked: Decimal


def differences(most: int = 100) -> list[Difference]:
    """The first of them; it reads every posting."""
    with connection.cursor() as cursor:
        cursor.execute(_DIFFERENCES, [most])
        return [Difference(*row) for row in cursor.fetchall()]


def lag() -> dict[str, int]:
    """Trades that are not in positions yet, by market that has traded."""
    with connection.cursor() as cursor:
        cursor.execute(_LAG)
        return dict(cursor.fetchall())
