"""What the dashboard shows: bounded reads, each of which may find its source away and says so.

`institution` is an id, or empty for the platform's staff, who see all. Staff of an institution get its own orders,
trades, fees, cases and accounts. Books, prices and what runs are the same for everybody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import redis
from django.db import connection
from django.db.models import Count, Sum
from django.utils.translation import gettext as _

from exchange import health
from exchange.backoffice.activity import Minute, Traded
from exchange.base import redis_keys
from exchange.base.redis import client
from exchange.operations.event_dispatch import HANDLERS
from exchange.platform.events import lag, wakeup
from marketdata.models import Price
from marketdata.orderbook.queries import BookView, book
from matching.models import Checkpoint
from risk.models import Case
from risk.models.cases import UNDER_WAY, Severity
from trading.models import Account, Instrument

LEVELS = 10  # of each side, whose quantities are the depth
MOST_MARKETS = 50
MOST_ACCOUNTS = 200
MOST_EVENTS = 10_000  # of the outbox, that are counted
MOST_WAITING = 100  # entries of a stream
SLOW_WORKER = 5.0  # seconds that a command may wait
SLOW_OUTBOX = 60.0

_WAITING_EVENTS = f"""
    SELECT count(*), count(*) FILTER (WHERE status = 'FAILED'), count(*) FILTER (WHERE tries > 0)
      FROM (SELECT status, tries FROM events_outboxevent WHERE published_at IS NULL
             ORDER BY id LIMIT {MOST_EVENTS}) AS waiting"""  # noqa: S608
_OLDEST_EVENT = """
    SELECT (message::json ->> 'timestamp')::timestamptz FROM events_outboxevent
     WHERE published_at IS NULL AND status = 'PENDING' ORDER BY id LIMIT 1"""

_book = msgspec.json.Decoder(BookView).decode


class Market(NamedTuple):
    """`depth` in the base asset, of the best levels; `spread` as a fraction of the middle."""

    symbol: str
    base: str
    quote: str
    status: str
    bid: Decimal | None
    ask: Decimal | None
    spread: Decimal | None
    bid_depth: Decimal
    ask_depth: Decimal
    pk: int
    trades: int
    volume: Decimal
    volumes: list[tuple[datetime, Decimal | None]]


class Worker(NamedTuple):
    """A group's matcher; `waiting` entries of its stream, the oldest for `seconds`. None: not known."""

    group: str
    alive: bool
    epoch: int
    sequence: int
    waiting: int | None
    seconds: float | None


class Outbox(NamedTuple):
    waiting: int
    failed: int
    tried: int
    oldest: datetime | None

    @property
    def more(self) -> bool:
        return self.waiting >= MOST_EVENTS

    @property
    def seconds(self) -> float:
        return (datetime.now(UTC) - self.oldest).total_seconds() if self.oldest else 0.0


class Quote(NamedTuple):
    symbol: str
    price: Decimal
    source: str
    stale: bool
    at: datetime


class House(NamedTuple):
    institution: str
    kind: str
    asset: str
    balance: Decimal


@dataclass
class Health:
    """`states`: what runs, by name. `problems`: in words, worst first."""

    states: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def markets(activity: Sequence[tuple[datetime, Minute | None]], institution: str) -> list[Market]:
    rows = Instrument.objects.order_by("symbol").values_list(
        "id", "symbol", "base__code", "quote__code", "status"
    )[:MOST_MARKETS]
    return [_market(*row, activity, institution) for row in rows]


def _market(
    pk: int,
    symbol: str,
    base: str,
    quote: str,
    status: str,
    activity: Sequence[tuple[datetime, Minute | None]],
    institution: str,
) -> Market:
    body = book(symbol, LEVELS)
    view = BookView(symbol, None, "", [], []) if body is None else _book(body)
    bids, asks = (
        [(Decimal(price), Decimal(lots)) for price, lots in side] for side in (view.bids, view.asks)
    )
    bid, ask = bids[0][0] if bids else None, asks[0][0] if asks else None
    spread = (ask - bid) / ((ask + bid) / 2) if bid is not None and ask is not None else None
    volumes: list[tuple[datetime, Decimal | None]] = []
    trades = 0
    for at, minute in activity:
        own = [each for each in minute.trades_of(institution) if each.instrument == pk] if minute else []
        trades += sum(each.count for each in own)
        volumes.append((at, None if minute is None else sum((each.notional for each in own), Decimal(0))))
    volume = sum((value for _at, value in volumes if value is not None), Decimal(0))
    bid_depth, ask_depth = (sum((lots for _price, lots in side), Decimal(0)) for side in (bids, asks))
    return Market(
        symbol, base, quote, status, bid, ask, spread, bid_depth, ask_depth, pk, trades, volume, volumes
    )


def fees(activity: Sequence[tuple[datetime, Minute | None]], institution: str) -> dict[str, Decimal]:
    """Earned in those minutes, by asset. A trade's fees go to the institution of the user who pays them."""
    assets = {
        pk: (base, quote)
        for pk, base, quote in Instrument.objects.values_list("id", "base__code", "quote__code")
    }
    found: dict[str, Decimal] = defaultdict(Decimal)
    for _at, minute in activity:
        for traded in minute.trades if minute else ():
            for asset, fee in _fees_of(traded, assets[traded.instrument], institution):
                found[asset] += fee
    return {asset: fee for asset, fee in sorted(found.items()) if fee}


def _fees_of(traded: Traded, assets: tuple[str, str], institution: str) -> list[tuple[str, Decimal]]:
    base, quote = assets
    sides = ((base, traded.buyer_fee, traded.buyer), (quote, traded.seller_fee, traded.seller))
    return [(asset, fee) for asset, fee, payer in sides if not institution or payer == institution]


def open_cases(institution: str) -> list[tuple[str, int]]:
    """Under way, by severity, worst first."""
    rows = Case.objects.filter(state__in=UNDER_WAY)
    if institution:
        rows = rows.filter(user__institution=UUID(institution))
    counted = rows.order_by().values("severity").annotate(count=Count("pk")).order_by("-severity")
    return [(_(str(Severity(row["severity"]).label)), row["count"]) for row in counted]


def house(institution: str) -> list[House]:
    """What the house accounts have; for the platform's staff those of all institutions."""
    rows = Account.objects.exclude(kind=Account.Kind.USER)
    if institution:
        rows = rows.filter(institution=UUID(institution))
    values = rows.order_by("institution__code", "kind", "asset__code").values_list(
        "institution__code", "kind", "asset__code", "available"
    )
    return [House(*row) for row in values[:MOST_ACCOUNTS]]


def earned(institution: str) -> dict[str, Decimal]:
    """What stands on the fee accounts, by asset."""
    rows = Account.objects.filter(kind=Account.Kind.FEES)
    if institution:
        rows = rows.filter(institution=UUID(institution))
    return dict(rows.values_list("asset__code").annotate(Sum("available")).order_by("asset__code"))


def quotes() -> list[Quote]:
    rows = Price.objects.exclude(instrument__market_symbol="").order_by("instrument__symbol")
    return [
        Quote(*row)
        for row in rows.values_list("instrument__symbol", "price", "source", "stale", "priced_at")[
            :MOST_MARKETS
        ]
    ]


def outbox() -> Outbox:
    with connection.cursor() as cursor:
        cursor.execute(_WAITING_EVENTS)
        counts = cursor.fetchone()
        cursor.execute(_OLDEST_EVENT)
        oldest = cursor.fetchone()
    waiting, failed, tried = counts
    return Outbox(waiting, failed, tried, oldest[0] if oldest else None)


def lags() -> dict[str, int | None]:
    """Messages that each consumer group has still to handle; None: not known."""
    try:
        return lag.read(HANDLERS)
    except redis.RedisError:
        return dict.fromkeys(HANDLERS)


def workers(survey: health.Survey) -> list[Worker]:
    positions = dict(Checkpoint.objects.values_list("group_id", "position"))
    return [
        Worker(
            each.group,
            each.alive,
            each.epoch,
            each.sequence,
            *_waiting(each.group, positions.get(each.group, "0-0")),
        )
        for each in survey.matchers
    ]


def _waiting(group: str, position: str) -> tuple[int | None, float | None]:
    """Entries of the group's stream that its checkpoint does not cover, and how long the oldest has been there."""
    try:
        entries: Any = client().xrange(redis_keys.commands(group), f"({position}", "+", count=MOST_WAITING)
    except redis.RedisError:
        return None, None
    if not entries:
        return 0, 0.0
    sent = int(entries[0][0].partition(b"-")[0]) / 1000
    return len(entries), max(0.0, datetime.now(UTC).timestamp() - sent)


def condition(
    survey: health.Survey,
    groups: Sequence[Worker],
    events: Outbox | None,
    prices: Sequence[Quote],
    found: Sequence[Market],
) -> Health:
    """What runs, and in words what does not. `events` is None for who does not look after the outbox."""
    states: dict[str, str] = {_called(name): state for name, state in survey.checks().items()}
    problems = [
        _("%(name)s is %(state)s.") % {"name": name, "state": _(state)}
        for name, state in states.items()
        if state != "up"
    ]
    problems += [_late(each) for each in groups if each.alive and (each.seconds or 0) > SLOW_WORKER]
    if events is not None and events.failed:
        problems.append(
            _("%(count)s events were refused and wait for a decision.") % {"count": events.failed}
        )
    if events is not None and wakeup.enabled and events.seconds > SLOW_OUTBOX:
        problems.append(
            _("The oldest event has waited for %(seconds)s s.") % {"seconds": int(events.seconds)}
        )
    if stale := ", ".join(quote.symbol for quote in prices if quote.stale):
        problems.append(_("No fresh outside price of %(symbols)s.") % {"symbols": stale})
    if halted := ", ".join(market.symbol for market in found if market.status != "TRADING"):
        problems.append(_("Not trading: %(symbols)s.") % {"symbols": halted})
    return Health(states, problems)


def _called(name: str) -> str:
    """What runs, in the language of the user: of "matcher:alpha" the first half is a word."""
    what, colon, which = name.partition(":")
    return f"{_(what)}{colon}{which}"


def _late(worker: Worker) -> str:
    return _("Group %(group)s is %(seconds)s s behind.") % {
        "group": worker.group,
        "seconds": int(worker.seconds or 0),
    }
