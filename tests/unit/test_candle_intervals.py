"""Where candles start, and how gaps between them are filled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.candles.intervals import EPOCH, WIDTHS, ceiling, floor
from marketdata.models import Interval

MOMENT = datetime(2026, 3, 1, 13, 47, 31, 5, tzinfo=UTC)
moments = st.integers(0, 2**33).map(
    lambda seconds: EPOCH + timedelta(seconds=seconds, microseconds=seconds % 10**6)
)


@pytest.mark.parametrize(
    ("interval", "start"),
    [
        (Interval.M1, "2026-03-01T13:47:00"),
        (Interval.M5, "2026-03-01T13:45:00"),
        (Interval.M15, "2026-03-01T13:45:00"),
        (Interval.H1, "2026-03-01T13:00:00"),
        (Interval.H4, "2026-03-01T12:00:00"),
        (Interval.D1, "2026-03-01T00:00:00"),
    ],
)
def test_intervals_are_aligned_to_utc(interval: Interval, start: str) -> None:
    assert floor(MOMENT, WIDTHS[interval]) == datetime.fromisoformat(start + "Z")


@given(moments, st.sampled_from(Interval))
def test_floor_and_ceiling_enclose_a_moment(moment: datetime, interval: Interval) -> None:
    width = WIDTHS[interval]
    below, above = floor(moment, width), ceiling(moment, width)
    assert below <= moment <= above
    assert above - below in (timedelta(0), width)
    assert (below - EPOCH) % width == timedelta(0)


@pytest.mark.parametrize("interval", list(Interval))
def test_every_interval_is_made_of_whole_shorter_ones(interval: Interval) -> None:
    assert WIDTHS[interval] % WIDTHS[Interval.M1] == timedelta(0)
    assert timedelta(days=1) % WIDTHS[interval] == timedelta(0)
