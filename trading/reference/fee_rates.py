"""The fee rates in force: what orders are accepted under, and what the terminal shows beside an order not sent yet."""

from __future__ import annotations

import time
from collections.abc import Mapping

from trading.reference.fee_schedules import in_force

KEEP_SECONDS = 1.0

Rates = tuple[int, int]  # maker and taker, in millionths of what is received
Schedules = Mapping[tuple[str, int | None], Rates]  # by institution and instrument; None is the general one


def read() -> Schedules:
    """As of now, from the database. Raises django.db.Error."""
    return {
        (str(row.institution_id), row.instrument_id): (int(row.maker.scaleb(6)), int(row.taker.scaleb(6)))
        for row in in_force()
        if row.maker is not None and row.taker is not None
    }


def find(schedules: Schedules, institution: str, instrument: int) -> Rates:
    """The instrument's own schedule, else the institution's general one, else no fees."""
    return schedules.get((institution, instrument)) or schedules.get((institution, None)) or (0, 0)


class _Kept:
    """Read again each second, so that an order costs a look-up."""

    def __init__(self) -> None:
        self._schedules: Schedules = {}
        self._read_at = float("-inf")

    def rates(self, institution: str, instrument: int) -> Rates:
        if time.monotonic() - self._read_at >= KEEP_SECONDS:
            self._schedules = read()
            self._read_at = time.monotonic()
        return find(self._schedules, institution, instrument)


_kept = _Kept()
rates = _kept.rates
