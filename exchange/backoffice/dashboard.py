"""The first page of the back office: what runs, what is traded, what is owed. It refreshes itself, by a fragment.

What was read is kept for a few seconds for each institution, so a room full of screens costs as much as one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from exchange import health
from exchange.backoffice import activity, charts, selectors
from exchange.backoffice.charts import Chart
from exchange.base.bounded_cache import Recent
from exchange.base.decimals import plain
from exchange.platform.members.tenancy import visible

KEEP_SECONDS = 3.0
REFRESH_SECONDS = 5
SPARK = (160, 28)  # width and height of a market's volumes


@dataclass(frozen=True)
class Shown:
    """All that was read, as of `at`. `outbox` is None for who does not look after it."""

    at: datetime
    condition: selectors.Health
    orders: Chart
    trades: Chart
    rates: tuple[int, int]
    markets: list[dict[str, Any]]
    workers: list[selectors.Worker]
    outbox: selectors.Outbox | None
    lags: dict[str, int | None]
    quotes: list[dict[str, Any]]
    cases: list[tuple[str, int]]
    fees: list[tuple[str, str, str]]
    house: list[tuple[str, str, str, str]]
    incomplete: bool


_kept: Recent[str, tuple[float, Shown]] = Recent(64)


def page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the admin's first page shows besides its own."""
    return {**context, **_context(request), "title": _("Dashboard")}


@require_safe
def panel(request: HttpRequest) -> HttpResponse:
    """The part of it that changes."""
    answer = render(request, "backoffice/panel.html", _context(request))
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _context(request: HttpRequest) -> dict[str, Any]:
    """Each table is there for a user who may open its list."""
    may = request.user.has_perm
    return {
        "shown": shown(str(visible(request.user) or ""), machine=may("events.view_outboxevent")),
        "sees": {
            "trading": may("trading.view_order"),
            "money": may("trading.view_account"),
            "cases": may("risk.view_case"),
            "machine": may("events.view_outboxevent"),
        },
        "refresh": REFRESH_SECONDS,
        "minutes": activity.MINUTES,
    }


def shown(institution: str, *, machine: bool) -> Shown:
    """For the staff of that institution, or of the platform."""
    key = f"{institution} {machine} {get_language()}"
    kept = _kept.get(key)
    if kept is not None and time.monotonic() - kept[0] < KEEP_SECONDS:
        return kept[1]
    read = _read(institution, machine)
    _kept.put(key, (time.monotonic(), read))
    return read


def clear_cache() -> None:
    """Nothing that was read before counts any more."""
    _kept.clear()


def _read(institution: str, machine: bool) -> Shown:
    lately = activity.minutes()
    survey = health.survey()
    found = selectors.markets(lately, institution)
    quotes = selectors.quotes()
    workers = selectors.workers(survey)
    outbox = selectors.outbox() if machine else None
    counted = [(at, minute) for at, minute in lately[:-1] if minute is not None]  # the last one still runs
    last = counted[-1][1] if counted else None
    return Shown(
        at=timezone.now(),
        condition=selectors.condition(survey, workers, outbox, quotes, found),
        orders=_chart(lately, lambda minute: minute.orders_of(institution)),
        trades=_chart(lately, lambda minute: _trades(minute, institution)),
        rates=(last.orders_of(institution), _trades(last, institution)) if last else (0, 0),
        markets=[_market(market) for market in found],
        workers=workers,
        outbox=outbox,
        lags=selectors.lags() if machine else {},
        quotes=[{**quote._asdict(), "price": plain(quote.price)} for quote in quotes],
        cases=selectors.open_cases(institution),
        fees=_fees(selectors.fees(lately, institution), selectors.earned(institution)),
        house=[(*row[:3], plain(row.balance)) for row in selectors.house(institution)],
        incomplete=any(minute is None for _at, minute in lately),
    )


def _trades(minute: activity.Minute, institution: str) -> int:
    return sum(each.count for each in minute.trades_of(institution))


def _chart(
    lately: Sequence[tuple[datetime, activity.Minute | None]], count: Callable[[activity.Minute], int]
) -> Chart:
    return charts.bars([(f"{at:%H:%M}", None if minute is None else count(minute)) for at, minute in lately])


def _market(market: selectors.Market) -> dict[str, Any]:
    """With what is drawn of it. The sides of a book share a scale, books do not: their assets differ."""
    deepest = max(market.bid_depth, market.ask_depth)
    width, height = SPARK
    return {
        **market._asdict(),
        "spread_bps": None if market.spread is None else f"{market.spread * 10_000:.1f}",
        "bid_price": "–" if market.bid is None else plain(market.bid),
        "ask_price": "–" if market.ask is None else plain(market.ask),
        "bid_bar": charts.share(market.bid_depth, deepest),
        "ask_bar": charts.share(market.ask_depth, deepest),
        "bid_text": plain(market.bid_depth),
        "ask_text": plain(market.ask_depth),
        "volume_text": charts.number(market.volume),
        "spark": charts.bars([(f"{at:%H:%M}", v) for at, v in market.volumes], width=width, height=height),
    }


def _fees(lately: dict[str, Decimal], all_time: dict[str, Decimal]) -> list[tuple[str, str, str]]:
    """Asset, of the last minutes, in all."""
    assets = sorted({*lately, *all_time})
    return [
        (each, plain(lately.get(each, Decimal(0))), plain(all_time.get(each, Decimal(0)))) for each in assets
    ]
