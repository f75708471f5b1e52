"""Limits, blocks and high risk scores as the gate reads them: all in memory, a change seen within `LATE_SECONDS`.

Each look costs one row of one column; only when `risk_revision` says so, or a limit's time has come, are limits and
blocks read again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg

from exchange.platform.kyc import trade_permits
from exchange.platform.kyc.trade_permits import Permits

LOOK_SECONDS = 0.4
LATE_SECONDS = 0.8  # the gate looks itself if the refresher has not for so long
AWAIT_SECONDS = 60.0  # a limit that is still to come is looked at so often, as clocks are set

_REVISION = "SELECT number FROM risk_revision"
_LIMITS = """
    SELECT DISTINCT ON (user_id, institution_id, symbol, currency)
           user_id::text, institution_id::text, symbol, currency, max_open_orders, max_order_notional,
           max_daily_notional, max_position, price_band, max_risk_score
      FROM risk_limit WHERE effective_from <= statement_timestamp()
     ORDER BY user_id, institution_id, symbol, currency, effective_from DESC, id DESC"""
_NEXT = """
    SELECT extract(epoch FROM min(effective_from) - statement_timestamp())::float8
      FROM risk_limit WHERE effective_from > statement_timestamp()"""
_BLOCKS = "SELECT coalesce(user_id, institution_id)::text FROM risk_block WHERE lifted_at IS NULL"

_SCORES = "SELECT user_id::text, score FROM risk_score WHERE score > %s"

ALL_USERS = ""


class Limit(NamedTuple):
    """A row of `risk.models.Limit`."""

    max_open_orders: int | None
    max_order_notional: Decimal | None
    max_daily_notional: Decimal | None
    max_position: Decimal | None
    price_band: Decimal | None
    max_risk_score: int | None


class Ceilings(NamedTuple):
    """What holds for one user in one market; None: no ceiling. Notionals are in the market's quote asset,
    the position in its base asset."""

    open_here: int | None
    open_everywhere: int | None
    order_notional: Decimal | None
    traded_here: Decimal | None
    traded_in_currency: Decimal | None
    position: Decimal | None
    price_band: Decimal | None
    risk_score: int | None

    @property
    def counted(self) -> bool:
        """True if a ceiling needs the user's exposure."""
        return any(ceiling is not None for ceiling in (*self[:2], *self[3:6]))


NONE = Ceilings(*[None] * 8)


class Rules:
    """One per process; safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._revision: int | None = -1
        self.since = 0.0  # when this process last saw limits change, in seconds since the epoch
        self._due = float("inf")  # when a limit's time comes
        self._limits: Mapping[tuple[str, str], Limit] = {}
        self._resolved: dict[tuple[str, str, str], Ceilings] = {}
        self._least_score: int | None = None  # of all ceilings
        self.blocked: frozenset[str] = frozenset()  # ids of users and of institutions
        self.permits = Permits()  # who may trade by their KYC level
        self.scores: Mapping[str, int] = {}  # those above the lowest ceiling, by user

    @property
    def empty(self) -> bool:
        return not self._limits and not self.blocked and self.permits.open

    def refresh(self, connection: psycopg.Connection[Any]) -> None:
        """Look whether anything has changed if the last look was long ago. May raise psycopg.Error."""
        if time.monotonic() - self._looked_at > LATE_SECONDS:
            self.look(connection)

    def look(self, connection: psycopg.Connection[Any]) -> None:
        """Look whether anything has changed. May raise psycopg.Error."""
        with self._lock:
            row = connection.execute(_REVISION).fetchone()
            revision = row[0] if row else None
            if revision != self._revision or time.monotonic() >= self._due:
                # Looked up first, so that none comes in between unseen.
                self._due = time.monotonic() + _next(connection)
                limits = dict(_scoped(connection.execute(_LIMITS).fetchall()))
                changed, self._limits = limits != self._limits, limits
                self.blocked = frozenset(row[0] for row in connection.execute(_BLOCKS).fetchall())
                self.permits = trade_permits.load(connection)
                ceilings = (limit.max_risk_score for limit in self._limits.values())
                self._least_score = min((each for each in ceilings if each is not None), default=None)
                self._resolved = {}
                if changed:  # a block, or a limit that is still to come, leaves what is counted as it is
                    self.since = time.time()
                self._revision = revision
            if self._least_score is not None:
                self.scores = dict(connection.execute(_SCORES, (self._least_score,)).fetchall())
            self._looked_at = time.monotonic()

    def clear_cache(self) -> None:
        """Read everything again at the next look."""
        self._looked_at, self._revision = float("-inf"), -1

    def ceilings(self, user_id: str, institution_id: str, symbol: str, currency: str) -> Ceilings:
        if not self._limits:
            return NONE
        resolved, key = self._resolved, (user_id, institution_id, symbol)
        found = resolved.get(key)
        if found is None:
            found = resolved[key] = self._resolve((user_id, institution_id, ALL_USERS), symbol, currency)
        return found

    def _resolve(self, scopes: tuple[str, ...], symbol: str, currency: str) -> Ceilings:
        def closest(get: Callable[[Limit], Any], *places: str) -> Any:
            for scope in scopes:
                for place in places:
                    limit = self._limits.get((scope, place))
                    if limit is not None and get(limit) is not None:
                        return get(limit)
            return None

        return Ceilings(
            open_here=closest(lambda limit: limit.max_open_orders, symbol),
            open_everywhere=closest(lambda limit: limit.max_open_orders, ""),
            order_notional=closest(lambda limit: limit.max_order_notional, symbol, currency),
            traded_here=closest(lambda limit: limit.max_daily_notional, symbol),
            traded_in_currency=closest(lambda limit: limit.max_daily_notional, currency),
            position=closest(lambda limit: limit.max_position, symbol),
            price_band=closest(lambda limit: limit.price_band, symbol, ""),
            risk_score=closest(lambda limit: limit.max_risk_score, symbol, ""),
        )


def _next(connection: psycopg.Connection[Any]) -> float:
    """Seconds until the limits are to be read again, whatever `risk_revision` says."""
    row = connection.execute(_NEXT).fetchone()
    return min(row[0], AWAIT_SECONDS) if row and row[0] is not None else float("inf")


def _scoped(rows: list[tuple[Any, ...]]) -> Iterator[tuple[tuple[str, str], Limit]]:
    for user_id, institution_id, symbol, currency, *ceilings in rows:
        yield (user_id or institution_id or ALL_USERS, symbol or currency), Limit(*ceilings)
