"""The exchange on one screen: what runs, lags, is restricted or waits for people, and what is wrong with it.

Everything is read from PostgreSQL and Redis as they are, by the process that asks; nothing is written. Each section is
a dict for JSON, and `problems` says in words what an operator has to act on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
import redis
from django.db import connection
from django.db.models import Count
from django.utils import timezone

from exchange import health
from exchange.base import celery_queues, partitions, redis_keys
from exchange.base.env import env
from exchange.base.redis import client
from exchange.base.times import rfc3339
from exchange.operations.event_dispatch import HANDLERS
from exchange.platform.approvals.models import Approval
from exchange.platform.events import lag
from exchange.platform.events import selectors as outbox
from marketdata.prices import publisher
from risk.models import Block, Case
from risk.models.cases import UNDER_WAY, Severity
from trading.books import day as days
from trading.models import Instrument
from trading.models.partitions import TABLES

SLOW = 5.0  # seconds an order may wait for its matcher
LATE = 60.0  # seconds an event may wait to be sent, and an audit record to be sealed
LONG = 200  # tasks in a queue that is emptied as it should be
OVERDUE = timedelta(hours=12)  # after a day's end it should be closed, where days are closed at all

_WAITING = """
    SELECT grp, count(*), extract(epoch FROM now() - min(created_at))::text FROM (
        SELECT instrument.group_id AS grp, placed.created_at
          FROM read_open_order placed JOIN read_instrument instrument ON instrument.id = placed.instrument_id
         WHERE placed.status = 'PENDING'
        UNION ALL SELECT group_id, created_at FROM read_pending_command) AS waiting
     GROUP BY grp"""
_OPEN_ORDERS = """
    SELECT instrument.group_id, count(*)
      FROM read_open_order placed JOIN read_instrument instrument ON instrument.id = placed.instrument_id
     GROUP BY 1"""
_UNSEALED = """
    SELECT count(*), coalesce(extract(epoch FROM now() - min(record.at)), 0)::text
      FROM audit_unsealed unsealed JOIN audit_record record ON record.id = unsealed.record"""


@dataclass
class Overview:
    """`sections` by name, in the order of the screen."""

    at: datetime
    sections: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def as_document(self) -> dict[str, Any]:
        return {"at": rfc3339(self.at), "well": not self.problems, "problems": self.problems, **self.sections}


def overview() -> Overview:
    """Never raises for a service that is away: that is a problem like others."""
    survey = health.survey()
    found = Overview(timezone.now())
    _processes(found, survey)
    if survey.postgresql:
        _groups(found, survey)
        _markets(found)
        _outbox(found)
        _audit(found)
        _people(found)
        _partitions(found)
        _days(found)
    _queues(found)
    _consumers(found)
    if survey.postgresql:
        _prices(found)
    return found


def _processes(found: Overview, survey: health.Survey) -> None:
    checks = survey.checks()
    found.sections["processes"] = checks
    found.problems += [f"{name} is {state}" for name, state in checks.items() if state != "up"]


def _groups(found: Overview, survey: health.Survey) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        waiting = {name: (count, float(seconds)) for name, count, seconds in cursor.fetchall()}
        cursor.execute(_OPEN_ORDERS)
        resting = dict(cursor.fetchall())
    rows = []
    for matcher in survey.matchers:
        count, seconds = waiting.get(matcher.group, (0, 0.0))
        rows.append(
            {
                "group": matcher.group,
                "alive": matcher.alive,
                "epoch": matcher.epoch,
                "sequence": matcher.sequence,
                "open_orders": resting.get(matcher.group, 0),
                "waiting": count,
                "oldest_seconds": f"{seconds:.1f}",
            }
        )
        if seconds > SLOW:
            found.problems.append(
                f"group {matcher.group}: {count} commands wait, the oldest for {seconds:.0f} s"
            )
    found.sections["groups"] = rows


def _markets(found: Overview) -> None:
    markets = Instrument.objects.order_by("symbol").values_list("symbol", "group_id", "status")
    restricted = [
        {"symbol": symbol, "group": group, "status": status}
        for symbol, group, status in markets
        if status != "TRADING"
    ]
    blocks = Block.objects.filter(lifted_at=None).aggregate(
        users=Count("user"), institutions=Count("institution")
    )
    found.sections["markets"] = {"listed": len(markets), "restricted": restricted, "blocked": blocks}


def _outbox(found: Overview) -> None:
    state = outbox.state()
    found.sections["outbox"] = {
        "pending": state.pending,
        "failed": state.failed,
        "held_keys": state.held_keys,
        "oldest_seconds": f"{state.oldest_seconds:.1f}",
    }
    if state.failed:
        found.problems.append(f"{state.failed} events were refused and wait for `manage.py outbox`")
    if env.exchange_events == "on" and env.kafka_brokers and state.oldest_seconds > LATE:
        found.problems.append(f"events wait to be sent, the oldest for {state.oldest_seconds:.0f} s")


def _audit(found: Overview) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_UNSEALED)
        count, seconds = cursor.fetchone()
    found.sections["audit"] = {"unsealed": count, "oldest_seconds": f"{float(seconds):.1f}"}
    if float(seconds) > LATE:
        found.problems.append(f"{count} audit records are not sealed, the oldest for {float(seconds):.0f} s")


def _people(found: Overview) -> None:
    """What waits for a person's decision: shown, and no fault of the system."""
    cases = dict(
        Case.objects.filter(state__in=UNDER_WAY)
        .values_list("severity")
        .annotate(Count("pk"))
        .order_by("-severity")
    )
    found.sections["cases"] = {
        "under_way": sum(cases.values()),
        "unassigned": Case.objects.filter(state__in=UNDER_WAY, assignee=None).count(),
        "by_severity": {Severity(severity).name: count for severity, count in cases.items()},
    }
    waiting = Approval.objects.filter(state="PENDING", expires_at__gt=found.at).order_by("expires_at")
    kinds = dict(waiting.order_by().values_list("kind").annotate(Count("pk")))
    first = waiting.first()
    found.sections["approvals"] = {
        "pending": sum(kinds.values()),
        "by_kind": kinds,
        "first_expires_at": rfc3339(first.expires_at) if first else None,
    }


def _partitions(found: Overview) -> None:
    missing, misplaced = partitions.ensure(TABLES, dry_run=True), partitions.misplaced(TABLES)
    found.sections["partitions"] = {"missing": missing, "misplaced": misplaced}
    if missing:
        found.problems.append(f"partitions are missing: {', '.join(missing)}")
    if misplaced:
        found.problems.append(f"rows in default partitions: {', '.join(misplaced)}")


def _days(found: Overview) -> None:
    last, due = days.last_closed(), list(days.due(found.at))
    found.sections["end_of_day"] = {
        "last_closed": last.day.isoformat() if last else None,
        "closed_at": rfc3339(last.closed_at) if last else None,
        "due": [each.day.isoformat() for each in due] if last else [],
    }
    if last and due and found.at - due[0].until > OVERDUE:
        found.problems.append(f"{due[0].day} is over and its books are not closed")


def _queues(found: Overview) -> None:
    try:
        lengths = {name: int(client().llen(name)) for name in celery_queues.ALL}
    except redis.RedisError:
        found.sections["queues"] = None  # that Redis is down is among the processes
        return
    found.sections["queues"] = lengths
    found.problems += [
        f"queue {name} has {length} tasks: nobody empties it"
        for name, length in lengths.items()
        if length > LONG
    ]


def _consumers(found: Overview) -> None:
    """Messages that each group has still to handle; of one that no process runs nothing is known."""
    try:
        found.sections["consumers"] = lag.read(HANDLERS)
    except redis.RedisError:
        found.sections["consumers"] = None


def _prices(found: Overview) -> None:
    symbols = list(Instrument.objects.order_by("symbol").values_list("symbol", flat=True))
    try:
        texts = client().mget([redis_keys.price(symbol) for symbol in symbols]) if symbols else []
    except redis.RedisError:
        found.sections["prices"] = None
        return
    rows = []
    for symbol, text in zip(symbols, texts, strict=True):
        price = None if text is None else msgspec.json.decode(text, type=publisher.Price)
        state = "none" if price is None else "stale" if price.stale else "fresh"
        rows.append({"symbol": symbol, "state": state, "source": price.source if price else None,
                     "price": price.price if price else None})  # fmt: skip
        if state == "stale":
            found.problems.append(f"the price of {symbol} is stale: its market stops wait")
    found.sections["prices"] = rows


def lines(found: Overview) -> list[str]:
    """The screen."""
    here = found.sections
    up = [name for name, state in here["processes"].items() if state == "up"]
    text = [f"{rfc3339(found.at, 'seconds')}  {'well' if not found.problems else 'NOT WELL'}",
            f"{'up':<12} {', '.join(up) or 'nothing'}"]  # fmt: skip
    for row in here.get("groups", []):
        state = f"epoch {row['epoch']}, sequence {row['sequence']}, {row['open_orders']} open orders, "
        waiting = f"{row['waiting']} wait ({row['oldest_seconds']} s)"
        text.append(f"{'group':<12} {row['group']}: {'' if row['alive'] else 'DOWN, '}{state}{waiting}")
    if "markets" in here:
        markets = here["markets"]
        names = ", ".join(f"{each['symbol']} {each['status']}" for each in markets["restricted"])
        blocked = markets["blocked"]
        text.append(f"{'markets':<12} {markets['listed']} listed, restricted: {names or 'none'}; blocked: "
                    f"{blocked['users']} users, {blocked['institutions']} institutions")  # fmt: skip
    for name in ("outbox", "audit", "queues", "consumers", "cases", "approvals"):
        if here.get(name):
            text.append(f"{name:<12} {_figures(here[name])}")
    for row in here.get("prices") or []:
        price = f"{row['price']} from {row['source']}, {row['state']}" if row["price"] else "no price"
        text.append(f"{'price':<12} {row['symbol']}: {price}")
    if "partitions" in here:
        missing = here["partitions"]["missing"]
        text.append(f"{'partitions':<12} {'made ahead' if not missing else f'{len(missing)} missing'}")
    if "end_of_day" in here:
        text.append(f"{'end of day':<12} last closed: {here['end_of_day']['last_closed'] or 'never'}")
    return [*text, *(f"WRONG        {problem}" for problem in found.problems)]


def _figures(values: dict[str, Any]) -> str:
    parts = []
    for name, value in values.items():
        if isinstance(value, dict):
            parts += [f"{inner} {count}" for inner, count in value.items()]
        elif value is not None:
            parts.append(f"{name.replace('_', ' ')} {value}")
    return ", ".join(parts)
