"""Announces the last 24 hours of each market to the stream processes, by Redis, after trades were counted.

`ticker:{symbol}` holds them as JSON (`Note`); the channel `tickers` gets the same where it changed. Every ten
seconds all are written, as trades leave the 24 hours by themselves and Redis may have been emptied. Two who
announce at once may leave the older note for that long: `last_number` says which is newer.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import msgspec
import redis

from exchange.base.decimals import plain, plain_or_none
from exchange.base.redis import Circuit, client
from exchange.base.times import rfc3339
from marketdata.candles import intervals
from marketdata.candles.statistics import Statistics, statistics

CHANNEL = "tickers"
REFRESH = timedelta(seconds=10)

_encode = msgspec.json.Encoder().encode


def key(symbol: str) -> str:
    return f"ticker:{symbol}"


class Note(msgspec.Struct, frozen=True):
    """What Redis holds. `open`, `high` and `low` are null if there was no trade, `last` is the last price ever."""

    symbol: str
    open: str | None
    high: str | None
    low: str | None
    volume: str
    quote_volume: str
    trades: int
    last: str | None
    last_number: int
    timestamp: str


class Announcer:
    """Remembers what was published on the channel."""

    def __init__(self) -> None:
        self._published: dict[str, Note] = {}
        self._refreshed: datetime | None = None
        self._circuit = Circuit()

    def announce(self, counted: Collection[int], now: datetime | None = None) -> int:
        """Write the tickers of the instruments whose trades were `counted`, or of all if that is due; how many.

        Without Redis it writes nothing, and all of them when Redis is back.
        """
        now = now or datetime.now(UTC)
        due = intervals.floor(now, REFRESH)
        everything = due != self._refreshed
        if not (everything or counted) or self._circuit.away():
            return 0
        found = statistics(None if everything else counted, now)
        try:
            self._write([_note(each, now) for each in found])
        except redis.RedisError as error:
            self._circuit.failed(error)
            self._refreshed = None
            return 0
        self._circuit.works()
        self._refreshed = due
        return len(found)

    def _write(self, notes: list[Note]) -> None:
        pipe = client().pipeline(transaction=False)
        for note in notes:
            body = _encode(note)
            pipe.set(key(note.symbol), body)
            last = self._published.get(note.symbol)
            if last is None or msgspec.structs.replace(last, timestamp=note.timestamp) != note:
                pipe.publish(CHANNEL, body)
        pipe.execute()
        self._published |= {note.symbol: note for note in notes}


def _note(of: Statistics, now: datetime) -> Note:
    return Note(
        symbol=of.symbol,
        open=plain_or_none(of.open),
        high=plain_or_none(of.high),
        low=plain_or_none(of.low),
        volume=plain(of.volume),
        quote_volume=plain(of.quote_volume),
        trades=of.trades,
        last=plain_or_none(of.last),
        last_number=of.last_number,
        timestamp=rfc3339(now),
    )
