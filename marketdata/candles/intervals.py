"""The six intervals of candles: their widths, and where they start. Pure.

All start at whole multiples of their width since 1970-01-01T00:00Z, so every longer one is made of whole
shorter ones.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from marketdata.models import Interval

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

WIDTHS: dict[Interval, timedelta] = {
    Interval.M1: timedelta(minutes=1),
    Interval.M5: timedelta(minutes=5),
    Interval.M15: timedelta(minutes=15),
    Interval.H1: timedelta(hours=1),
    Interval.H4: timedelta(hours=4),
    Interval.D1: timedelta(days=1),
}


def floor(moment: datetime, width: timedelta) -> datetime:
    """The start of the interval that `moment` is in."""
    return moment - (moment - EPOCH) % width


def ceiling(moment: datetime, width: timedelta) -> datetime:
    """The first start of an interval that is not before `moment`."""
    return moment + (EPOCH - moment) % width
