"""Instruments and assets as the order path needs them: loaded from PostgreSQL, kept for a second, in
integers.

Read by every request, so it is a plain dictionary swapped as a whole; a change by an operator is seen within
`KEEP_SECONDS`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from decimal import Decimal

import structlog

from matching.core.scale import InstrumentScale
from matching.core.types import MarketStatus
from trading.models import Asset, Instrument

KEEP_SECONDS = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AssetView:
    id: int
    code: str
    scale: int


@dataclass(frozen=True, slots=True)
class Market:
    """One instrument; quantities in lots, prices in ticks, `min_notional` in minor units of the quote
    asset."""

    id: int
    symbol: str
    base: AssetView
    quote: AssetView
    scale: InstrumentScale
    tick_size: Decimal
    lot_size: Decimal
    min_lots: int
    max_lots: int
    min_notional: int
    collar_ppm: int
    group: str
    status: MarketStatus
    priority_offset: int = 0

    @property
    def slug(self) -> str:
        return self.symbol.replace("/", "-")


class Catalog:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded_at = float("-inf")
        self._by_symbol: dict[str, Market] = {}
        self._by_id: dict[int, Market] = {}
        self._assets: dict[int, AssetView] = {}

    def market(self, symbol: str) -> Market | None:
        """The instrument named BTC/USDT (or BTC-USDT, as paths have it)."""
        self._refresh()
        return self._by_symbol.get(symbol)

    def by_id(self, instrument: int) -> Market:
        """Raises KeyError for an id that does not exist."""
        self._refresh()
        return self._by_id[instrument]

    def markets(self) -> list[Market]:
        self._refresh()
        return list(self._by_id.values())

    def asset(self, asset: int) -> AssetView:
        self._refresh()
        return self._assets[asset]

    def assets(self) -> list[AssetView]:
        self._refresh()
        return list(self._assets.values())

    def clear_cache(self) -> None:
        """Load again at the next look: after a change made in this process."""
        self._loaded_at = float("-inf")

    def _refresh(self) -> None:
        if time.monotonic() - self._loaded_at < KEEP_SECONDS:
            return
        with self._lock:
            if time.monotonic() - self._loaded_at < KEEP_SECONDS:
                return
            assets = {asset.id: AssetView(asset.id, asset.code, asset.scale) for asset in Asset.objects.all()}
            markets = []
            for row in Instrument.objects.order_by("symbol"):
                try:
                    markets.append(_view(row, assets))
                except ValueError as error:  # the admin refuses such a one, plain SQL does not
                    log.error("instrument is left out", symbol=row.symbol, error=str(error))
            self._assets = assets
            self._by_id = {market.id: market for market in markets}
            self._by_symbol = {name: market for market in markets for name in (market.symbol, market.slug)}
            self._loaded_at = time.monotonic()


def _view(row: Instrument, assets: dict[int, AssetView]) -> Market:
    base, quote = assets[row.base_id], assets[row.quote_id]
    scale = InstrumentScale(row.tick_size.normalize(), row.lot_size.normalize(), base.scale, quote.scale)
    min_lots, max_lots = scale.to_lots(row.min_quantity), scale.to_lots(row.max_quantity)
    if min_lots is None or max_lots is None:
        raise ValueError("minimum and maximum quantity must be multiples of the lot size")
    return Market(
        id=row.id,
        symbol=row.symbol,
        base=base,
        quote=quote,
        scale=scale,
        tick_size=row.tick_size.normalize(),
        lot_size=row.lot_size.normalize(),
        min_lots=min_lots,
        max_lots=max_lots,
        min_notional=int(row.min_notional.scaleb(quote.scale)),
        collar_ppm=int(row.collar.scaleb(6)),
        group=row.group_id or "",
        status=MarketStatus(row.status),
        priority_offset=row.place_offset,
    )


catalog = Catalog()
