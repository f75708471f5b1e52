"""What runs: asked by load balancers, by `up` and by the page at `/status`.

PostgreSQL is asked directly. A matcher, the stream, the prices or the relay are alive if their heartbeat is in Redis
(`matcher:{group}`, `stream`, `prices:alive`, `relay:alive`; each expires a few seconds after its process), and the
relay says whether Kafka answers. While Redis is away, a matcher is taken to be alive if its group's advisory lock
is held, which PostgreSQL gives back when the worker's connection ends.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec
import psycopg
import redis
import structlog
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import extend_schema

from exchange.base import redis_keys
from exchange.base.http.openapi import answers
from exchange.base.redis import client
from exchange.platform.events import wakeup
from exchange.platform.rest.view import ApiView, answer
from trading.settlement.group_settlement import LOCK_CLASS

log = structlog.get_logger(__name__)

_GROUPS = """
    SELECT name, coalesce(epoch, 0), coalesce(sequence, 0), updated_at,
           EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s
                      AND objid::bigint = hashtext(name)::bigint & 4294967295
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
      FROM matching_symbolgroup LEFT JOIN matching_checkpoint ON group_id = name ORDER BY name"""

State = Literal["up", "down", "unknown"]


class Matcher(msgspec.Struct, frozen=True):
    """A group's worker: `sequence` commands applied under `epoch`, last settled at `updated_at`."""

    group: str
    alive: bool
    epoch: int
    sequence: int
    updated_at: datetime | None


class Survey(msgspec.Struct, frozen=True):
    """`events`: the relay and Kafka, by name; empty where no events are sent."""

    postgresql: bool
    redis: bool
    stream: State
    prices: State
    matchers: list[Matcher]
    events: dict[str, State] = {}

    @property
    def ready(self) -> bool:
        return self.postgresql and all(matcher.alive for matcher in self.matchers)

    def checks(self) -> dict[str, State]:
        matchers = {f"matcher:{matcher.group}": _state(matcher.alive) for matcher in self.matchers}
        return {
            "postgresql": _state(self.postgresql),
            "redis": _state(self.redis),
            "stream": self.stream,
            "prices": self.prices,
            **self.events,
            **matchers,
        }


class Live(msgspec.Struct):
    status: Literal["live"]


class Readiness(msgspec.Struct):
    """degraded: everything works, but slower or without live data."""

    status: Literal["ready", "degraded", "unavailable"]
    checks: dict[str, State]


def survey() -> Survey:
    """Ask every service; never raises for one that is away."""
    rows = _groups()
    beats = _beats([redis_keys.matcher(name) for name, *_ in rows or []])
    matchers = []
    for name, epoch, sequence, updated_at, locked in rows or []:
        beat = None if beats is None else beats.get(redis_keys.matcher(name))
        alive = locked if beats is None else beat is not None
        if beat is not None:
            epoch, sequence = beat.epoch, max(sequence, beat.sequence)
            updated_at = beat.timestamp
        matchers.append(Matcher(name, alive, epoch, sequence, updated_at))
    stream, prices = (_alive(beats, key) for key in (redis_keys.STREAM_ALIVE, redis_keys.PRICES_ALIVE))
    return Survey(rows is not None, beats is not None, stream, prices, matchers, _events(beats))


class Beat(msgspec.Struct):
    timestamp: datetime
    epoch: int = 0
    sequence: int = 0
    kafka: bool = False


_beat = msgspec.json.Decoder(Beat)


def _state(up: bool) -> State:
    return "up" if up else "down"


def _alive(beats: dict[str, Beat] | None, key: str) -> State:
    return "unknown" if beats is None else _state(key in beats)


def _events(beats: dict[str, Beat] | None) -> dict[str, State]:
    if not wakeup.enabled:
        return {}
    relay = None if beats is None else beats.get(redis_keys.RELAY_ALIVE)
    return {
        "relay": _alive(beats, redis_keys.RELAY_ALIVE),
        "kafka": "unknown" if relay is None else _state(relay.kafka),
    }


def _groups() -> list[tuple[str, int, int, datetime | None, bool]] | None:
    """None: PostgreSQL is away."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_GROUPS, [LOCK_CLASS])
            return list(cursor.fetchall())
    except (Error, psycopg.Error) as error:
        log.warning("database unavailable", error=str(error).strip())
        return None


def _beats(keys: list[str]) -> dict[str, Beat] | None:
    """The heartbeats there are. None: Redis is away."""
    keys = [*keys, redis_keys.STREAM_ALIVE, redis_keys.PRICES_ALIVE, redis_keys.RELAY_ALIVE]
    try:
        values = client().mget(keys)
    except redis.RedisError:
        return None
    return {key: _beat.decode(value) for key, value in zip(keys, values, strict=True) if value is not None}


class LiveView(ApiView):
    @extend_schema(
        operation_id="live",
        summary="This process runs",
        tags=["health"],
        responses={200: answers(Live, "It does")},
    )
    def get(self, request: HttpRequest) -> HttpResponse:
        return answer(Live("live"))


class ReadyView(ApiView):
    @extend_schema(
        operation_id="ready",
        summary="Orders can be placed: PostgreSQL answers and every matcher runs",
        tags=["health"],
        responses={200: answers(Readiness, "Ready, or degraded"), 503: answers(Readiness, "Not ready")},
    )
    def get(self, request: HttpRequest) -> HttpResponse:
        now = survey()
        checks = now.checks()
        if not now.ready:
            return answer(Readiness("unavailable", checks), 503)
        whole = all(state == "up" for state in checks.values())
        return answer(Readiness("ready" if whole else "degraded", checks))
