"""Parameters that several views of the trading API read: symbols, ids, pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from exchange.base.http.problems import Problem
from exchange.base.http.query_string import DEFAULT_LIMIT, MAX_LIMIT, Query, to_cursor
from trading.reference.catalog import AssetView, Market, catalog

T = TypeVar("T")

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

SYMBOL = OpenApiParameter("symbol", str, description="BTC/USDT or BTC-USDT")
REQUIRED_SYMBOL = OpenApiParameter(
    "symbol",
    str,
    required=True,
    description="BTC/USDT or BTC-USDT",
    examples=[OpenApiExample("BTC/USDT", value="BTC/USDT")],
)
PAGE = [
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        description="rows in a page",
    ),
    OpenApiParameter("cursor", str, description="the next_cursor of the page before"),
]


def path_id(name: str, description: str) -> OpenApiParameter:
    """Documents an id in the path."""
    return OpenApiParameter(
        name, {"type": "string", "format": "uuid"}, OpenApiParameter.PATH, description=description
    )


def market(query: Query, *, required: bool = False) -> Market | None:
    """The market of parameter `symbol`; None if there is none, or if it is wrong, which the query's check
    will say.
    """
    text = query.text("symbol")
    if text is None and not required:
        return None
    found = catalog.market(text) if text is not None else None
    if found is None:
        known = ", ".join(market.symbol for market in catalog.markets())
        query.wrong("symbol", f"must be one of {known}", "missing" if text is None else "unknown_symbol")
    return found


def asset(query: Query) -> AssetView | None:
    """The asset of parameter `asset`; None if there is none, or if it is wrong, which the query's check will say."""
    text = query.text("asset")
    if text is None:
        return None
    assets = {asset.code: asset for asset in catalog.assets()}
    if text not in assets:
        query.wrong("asset", f"must be one of {', '.join(sorted(assets))}", "unknown_asset")
    return assets.get(text)


def identifier(text: str, missing: Problem) -> UUID:
    """An id from a path. What is no id at all names nothing: raises `missing`."""
    if not _UUID.fullmatch(text):
        raise missing
    return UUID(text)


def page(rows: Sequence[T], limit: int, key: Callable[[T], Any]) -> tuple[Sequence[T], str | None]:
    """The rows of this page and the cursor of the next, if there is one: `rows` then has one row more."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], to_cursor(UUID(str(key(rows[limit - 1]))))
