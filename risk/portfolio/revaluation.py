"""What each user's portfolio is worth and may lose, and the score that follows: by Celery, a few at a time.

Everything a user owns counts, what open orders hold too: balances are the ledger's. Nothing here is in an
order's way: it reads, and writes tables of its own. Alerts come first and each commits by itself, then the
valuations: a worker that dies in between finds the same again (docs/decisions/023).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import redis
import structlog
from django.db import connection, transaction

from exchange.base.database import array
from exchange.base.decimals import plain
from exchange.base.ids import uuid7
from exchange.base.redis import client
from risk.cases import workflow
from risk.models.positions import Parameters, Portfolio, Score
from risk.models.valuation_queue import enqueue
from risk.portfolio import concentration, price_history
from risk.portfolio.concentration import Concentration
from risk.portfolio.price_history import PriceHistory
from risk.portfolio.valuation import Valuation, reckon

AT_ONCE = 25  # users in one transaction
UNPRICED_SECONDS = 60  # a portfolio with an asset that had no price is valued again after that
KEEP_SECONDS = 3600  # of a score in Redis
CONFIRMED_DAYS = 90  # a case that was confirmed counts for the score so long

log = structlog.get_logger(__name__)

# Claimed first, so that a user who is queued meanwhile becomes due again. If we die, that is after `refresh`.
_CLAIM = """
    UPDATE risk_portfolio p SET due_at = now() + %s * interval '1 minute'
      FROM (SELECT user_id FROM risk_portfolio WHERE due_at <= now() ORDER BY due_at LIMIT %s
               FOR UPDATE SKIP LOCKED) AS due
     WHERE p.user_id = due.user_id
 RETURNING p.user_id::text, p.concentrated, CASE WHEN p.value >= %s THEN p.concentration ELSE 0 END"""
_BALANCES = """
    SELECT a.user_id::text, s.code, sum(a.available + a.held) FROM read_balance a
      JOIN read_asset s ON s.id = a.asset_id
     WHERE a.user_id = ANY (%s::uuid[]) GROUP BY 1, 2 HAVING sum(a.available + a.held) > 0
     ORDER BY 1, 2"""
_CONDUCT = """
    SELECT a.user_id::text, a.severity FROM risk_alert a JOIN risk_case c ON c.id = a.case_id
     WHERE a.user_id = ANY (%s::uuid[]) AND a.kind <> %s
       AND (c.state IN ('OPEN', 'INVESTIGATING')
            OR (c.state = 'CLOSED_CONFIRMED' AND c.decided_at > now() - %s * interval '1 day'))"""


class Due(NamedTuple):
    """`before` is what an alert was raised for, if it was."""

    user: str
    before: Concentration


def value_due(seconds: float) -> int:
    """Value whose portfolio is due, the longest waiting first, for about that long; how many."""
    started, done = time.monotonic(), 0
    parameters = Parameters.current()
    now: PriceHistory | None = None
    while time.monotonic() - started < seconds and (due := _claim(parameters)):
        now = now or price_history.read(parameters)
        _value(due, now, parameters)
        done += len(due)
    return done


def value(user: str) -> Valuation:
    """One user's, now, without writing it."""
    parameters = Parameters.current()
    return _valuations([user], price_history.read(parameters), parameters)[user]


def _claim(parameters: Parameters) -> list[Due]:
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [parameters.refresh_minutes, AT_ONCE, parameters.least_value])
        return [Due(user, Concentration(asset, share or 0.0)) for user, asset, share in cursor.fetchall()]


def _value(due: Sequence[Due], now: PriceHistory, parameters: Parameters) -> None:
    found = _valuations([each.user for each in due], now, parameters)
    for each in due:
        valuation = found[each.user]
        large = (valuation.portfolio.value or 0) >= parameters.least_value
        if large and concentration.is_news(valuation.concentration, each.before, parameters.concentration):
            _alert(each.user, valuation, parameters)
    with transaction.atomic():
        _write([found[each.user] for each in due])
        enqueue([user for user, each in found.items() if each.portfolio.unpriced], UNPRICED_SECONDS)
    _publish(found)


def _valuations(users: Sequence[str], now: PriceHistory, parameters: Parameters) -> dict[str, Valuation]:
    balances: dict[str, dict[str, Decimal]] = {user: {} for user in users}
    conduct: dict[str, list[int]] = {user: [] for user in users}
    with connection.cursor() as cursor:
        cursor.execute(_BALANCES, [array(users)])
        for user, asset, amount in cursor.fetchall():
            balances[user][asset] = amount
        cursor.execute(_CONDUCT, [array(users), concentration.KIND, CONFIRMED_DAYS])
        for user, severity in cursor.fetchall():
            conduct[user].append(severity)
    at = datetime.now(UTC)
    return {user: reckon(user, at, balances[user], conduct[user], now, parameters) for user in users}


def _alert(user: str, valuation: Valuation, parameters: Parameters) -> None:
    found, portfolio = valuation.concentration, valuation.portfolio
    with transaction.atomic():
        workflow.raise_alert(
            kind=concentration.KIND,
            severity=found.severity,
            user_id=user,
            symbol=None,
            score=found.level,
            detail={
                "asset": found.asset,
                "share": f"{found.share:.4f}",
                "threshold": f"{parameters.concentration:.4f}",
                "value": plain(portfolio.value or Decimal(0)),
                "currency": parameters.currency,
            },
            evidence={"portfolio": portfolio.parts},
            dedup=f"{concentration.KIND}:{user}:{found.asset}",
            trace_id=uuid7(),
        )


def _write(found: Sequence[Valuation]) -> None:
    """`due_at` is left to the valuation queue: it may have changed meanwhile."""
    kept = ("user", "due_at")
    fields = [field.name for field in Portfolio._meta.concrete_fields if field.name not in kept]
    portfolios = sorted((each.portfolio for each in found), key=lambda row: str(row.user_id))
    Portfolio.objects.bulk_create(
        portfolios, update_conflicts=True, unique_fields=["user"], update_fields=fields
    )
    Score.objects.bulk_create(
        [each.score for each in found],
        update_conflicts=True,
        unique_fields=["user"],
        update_fields=["score", "parts", "reckoned_at"],
    )


def _publish(found: Mapping[str, Valuation]) -> None:
    """For the gate; it reads the table while Redis is away."""
    try:
        pipe = client().pipeline(transaction=False)
        for user, valuation in found.items():
            pipe.set(f"risk:score:{user}", valuation.score.score, ex=KEEP_SECONDS)
        pipe.execute()
    except redis.RedisError as error:
        log.warning("scores could not be told", error=str(error))
