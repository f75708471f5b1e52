"""Reads of the trading API: one user's orders, trades and money, and the trades of a market.

Lists come newest first and take the key of the last row of the page before (`before`). They ask for one row
more than `limit`, so the caller knows if there is another page. Ids are UUIDv7, so a span of time is a range
of ids, which names the partitions to look at.

Trades have a partition a day. A list of them looks at the latest week first and only then at all there are,
so that busy markets and users are answered from few partitions. Known limitation: who has traded less than a
page in a week pays for the plan over all partitions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from exchange.base import ids
from exchange.base.env import env
from matching.order_status import CLOSED, OrderStatus
from matching.order_view import OrderView
from trading.models import Account, Order, Posting, Trade
from trading.orders.stored import order_view
from trading.reference.catalog import Market
from trading.wallet.client import wallet

DAY, WEEK = timedelta(days=1), timedelta(days=7)
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
SLACK = timedelta(minutes=1)  # an order's id is made a moment before the order is stored


@dataclass(frozen=True, slots=True)
class OrderFilter:
    market: Market | None = None
    statuses: Collection[OrderStatus] = ()
    since: datetime | None = None
    until: datetime | None = None  # not included


def order(user_id: str, order_id: UUID) -> OrderView | None:
    """The user's own order."""
    found = Order.objects.filter(pk=order_id, user_id=user_id).first()
    return None if found is None else order_view(found)


def orders(user_id: str, wanted: OrderFilter, before: UUID | None, limit: int) -> list[OrderView]:
    rows = _newest(Order.objects.filter(user_id=user_id), before)
    if wanted.market is not None:
        rows = rows.filter(instrument_id=wanted.market.id)
    if wanted.statuses:
        rows = rows.filter(status__in=wanted.statuses)
        if CLOSED.isdisjoint(wanted.statuses):
            rows = rows.filter(closed_at__isnull=True)  # lets the index of open orders serve
    if wanted.since is not None:
        rows = rows.filter(created_at__gte=wanted.since, id__gte=_floor(wanted.since, -SLACK))
    if wanted.until is not None:
        rows = rows.filter(created_at__lt=wanted.until, id__lt=_floor(wanted.until, SLACK))
    return [order_view(row) for row in rows[: limit + 1]]


def trade(trade_id: UUID) -> Trade | None:
    return Trade.objects.filter(pk=trade_id).first()


def market_trades(market: Market, before: UUID | None, limit: int) -> list[Trade]:
    """By number, which each partition has an index on."""
    rows = Trade.objects.filter(instrument_id=market.id).order_by("-number")
    if before is not None:
        last = Trade.objects.filter(pk=before, instrument_id=market.id).values("number")
        rows = rows.filter(number__lt=last, id__lt=ids.floor(ids.moment(before) + DAY))
    return _from_few_partitions([rows], before, limit, "-number")


def own_trades(user_id: str, market: Market | None, before: UUID | None, limit: int) -> list[Trade]:
    """Bought and sold: one look into the index of each."""
    sides = [_newest(Trade.objects.filter(**{role: user_id}), before) for role in ("buyer_id", "seller_id")]
    if market is not None:
        sides = [rows.filter(instrument_id=market.id) for rows in sides]
    return _from_few_partitions(sides, before, limit, "-id")


@dataclass(frozen=True, slots=True)
class Balance:
    asset: str
    available: Decimal
    held: Decimal


def balances(user_id: str) -> list[Balance]:
    """Of every asset that the user ever had. Raises WalletUnavailable, where a bank's own wallet has them."""
    if env.wallet == "http":
        return [Balance(each.asset, each.available, each.reserved) for each in wallet().balances(user_id)]
    rows = Account.objects.filter(kind=Account.Kind.USER, user_id=user_id).order_by("asset__code")
    return [Balance(*row) for row in rows.values_list("asset__code", "available", "held")]


@dataclass(frozen=True, slots=True)
class Entry:
    """A posting, with what its transaction says."""

    id: UUID
    transaction: UUID
    kind: str
    asset: int
    amount: Decimal
    created_at: datetime


_ENTRY = ("id", "transaction_id", "transaction__kind", "asset_id", "amount", "transaction__created_at")


def entries(user_id: str, asset: int | None, before: UUID | None, limit: int) -> list[Entry]:
    """The user's postings in one asset or in all. One look into the index for each account."""
    accounts = Account.objects.filter(kind=Account.Kind.USER, user_id=user_id)
    if asset is not None:
        accounts = accounts.filter(asset_id=asset)
    parts = [
        _newest(Posting.objects.filter(account_id=account), before).values_list(*_ENTRY)
        for account in accounts.values_list("pk", flat=True)
    ]
    return [Entry(*row) for row in _merge(parts, limit, "-id")]


def _floor(moment: datetime, shift: timedelta) -> UUID:
    """The lowest id of a moment, shifted; moments that no order is from are brought to where one could be."""
    return ids.floor(min(max(moment, EARLIEST), LATEST) + shift)


def _newest(rows: QuerySet[Any], before: UUID | None) -> QuerySet[Any]:
    rows = rows.order_by("-id")
    return rows if before is None else rows.filter(id__lt=before)


def _from_few_partitions(
    parts: list[QuerySet[Any]], before: UUID | None, limit: int, order: str
) -> list[Any]:
    newest = datetime.now(UTC) if before is None else ids.moment(before)
    since = ids.floor(newest - WEEK)
    rows = _merge([part.filter(id__gte=since) for part in parts], limit, order)
    return rows if len(rows) > limit else _merge(parts, limit, order)


def _merge(parts: list[QuerySet[Any]], limit: int, order: str) -> list[Any]:
    """The newest rows of several lists: each is cut first, so none is read to its end."""
    cut = [part[: limit + 1] for part in parts]
    if len(cut) < 2:
        return [row for part in cut for row in part]
    return list(cut[0].union(*cut[1:]).order_by(order)[: limit + 1])
