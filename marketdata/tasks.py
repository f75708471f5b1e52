"""What Celery does for market data: candles and tickers each second, the depth of books each minute."""

from __future__ import annotations

import structlog
from celery import shared_task

from marketdata.candles.aggregate import aggregate
from marketdata.orderbook import depth_snapshots
from marketdata.tickers.announce import Announcer

log = structlog.get_logger(__name__)

_announcer = Announcer()


@shared_task(name="marketdata.aggregate")
def count_trades() -> int:
    """Count new trades into candles, and announce the tickers; how many trades."""
    counted = aggregate()
    if counted.gaps:
        log.error("trades are missing: run `manage.py candles --rebuild`", instruments=sorted(counted.gaps))
    _announcer.announce(counted.trades)
    return sum(counted.trades.values())


@shared_task(name="marketdata.depth")
def take_depth() -> int:
    """How many books were kept."""
    return depth_snapshots.take()
