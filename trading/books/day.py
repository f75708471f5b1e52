"""Business days: which there are, when they begin and end, and which may be closed next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from exchange.base.env import env
from trading.models import EndOfDay

GRACE = timedelta(minutes=1)  # what was begun before midnight is in the ledger by then
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Bounds:
    """`until` belongs to the next day."""

    day: date
    since: datetime
    until: datetime

    def over(self, now: datetime) -> bool:
        return now >= self.until + GRACE


def bounds(day: date) -> Bounds:
    return Bounds(day, _midnight(day), _midnight(day + _DAY))


def today(now: datetime) -> date:
    return now.astimezone(ZoneInfo(env.exchange_day_zone)).date()


def last_closed() -> EndOfDay | None:
    return EndOfDay.objects.order_by("-day").first()


def due(now: datetime) -> Iterator[Bounds]:
    """The days that are over and not closed, in order. Where none was ever closed: the last that is over."""
    last = last_closed()
    first = last.day + _DAY if last else today(now - GRACE) - _DAY
    day = bounds(first)
    while day.over(now):
        yield day
        day = bounds(day.day + _DAY)


def _midnight(day: date) -> datetime:
    """Where a day begins, in UTC; in a zone that has no midnight on that day, when the clocks have moved."""
    return datetime.combine(day, time(), ZoneInfo(env.exchange_day_zone)).astimezone(UTC)
