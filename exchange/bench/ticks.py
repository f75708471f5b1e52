"""Price ticks as the price process writes them, and when the triggers they let go are in the matchers' streams."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from celery import Celery

from exchange.base import redis_keys
from exchange.bench.orders import MIDDLE, STOP_STEP, Steps
from matching.codec import decode_envelopes
from matching.core.commands import Trigger

POKED_MS, POKE_EXPIRES = 1000, 2.0  # as the price process has them
LEVELS_A_TICK = 3  # whose stops one tick lets go
QUIET_TICKS = STOP_STEP // 2  # around the middle, where no stop is
BLOCK_MS = 100


class Ticker:
    """Moves prices. Each tick of a symbol has a price that it never had: a trigger says which let it go."""

    def __init__(self, redis_url: str, markets: Iterable[Steps]) -> None:
        self.sent: dict[tuple[str, int], float] = {}  # by symbol and price in ticks
        self._markets = {market.symbol: market for market in markets}
        self._levels: dict[tuple[str, bool], int] = defaultdict(int)
        self._client = redis.Redis.from_url(redis_url)
        app = Celery("bench", broker=redis_url)
        self._send_task, self._connection = app.send_task, app.connection_for_write()

    def tick(self, symbol: str, upward: bool) -> None:
        """Let the next few buyers' stops of a symbol go, or the next few sellers'."""
        self._levels[symbol, upward] += LEVELS_A_TICK
        distance = STOP_STEP * self._levels[symbol, upward]
        self._publish(symbol, MIDDLE + distance if upward else MIDDLE - distance)

    def quiet(self, symbol: str, number: int) -> None:
        """A price that lets nothing go."""
        self._publish(symbol, MIDDLE - QUIET_TICKS + number % (2 * QUIET_TICKS))

    def reached(self, symbol: str) -> tuple[int, int]:
        """The lowest and the highest price so far, in ticks."""
        down, up = (STOP_STEP * self._levels[symbol, upward] for upward in (False, True))
        return MIDDLE - down, MIDDLE + up

    def close(self) -> None:
        self._connection.release()
        self._client.close()

    def _publish(self, symbol: str, price: int) -> None:
        self.sent[symbol, price] = time.perf_counter()
        pipe = self._client.pipeline(transaction=False)
        pipe.hset(redis_keys.STOP_PRICES, symbol, f"{price * self._markets[symbol].tick:f}")
        pipe.sadd(redis_keys.STOPS_MOVED, symbol)
        pipe.set(redis_keys.STOPS_POKED, 1, nx=True, px=POKED_MS)
        if pipe.execute()[-1]:
            self._send_task(
                "trading.check_stops",
                queue="stops",
                expires=POKE_EXPIRES,
                ignore_result=True,
                connection=self._connection,
            )


class Triggers:
    """All that come to the streams of `groups`: the moment by order, and the tick's symbol and price."""

    def __init__(self, redis_url: str, groups: Iterable[str], symbols: dict[int, str]) -> None:
        self.seen: dict[str, tuple[float, str, int]] = {}
        self.repeated = 0
        self._symbols = symbols
        self._client = redis.Redis.from_url(redis_url)
        now = f"{int(time.time() * 1000)}-0"
        self._after: dict[Any, Any] = {redis_keys.commands(group): now for group in groups}

    @contextmanager
    def watched(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=[stop], name="triggers")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self._client.close()

    def latencies_ms(self, sent: dict[tuple[str, int], float]) -> list[float]:
        """Of the triggers that the ticks `sent` let go, in rising order."""
        return sorted(
            1000 * (moment - sent[symbol, price])
            for moment, symbol, price in self.seen.values()
            if (symbol, price) in sent
        )

    def ticks(self) -> set[tuple[str, int]]:
        """Those that let something go."""
        return {(symbol, price) for _, symbol, price in self.seen.values()}

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            answer: Any = self._client.xread(self._after, block=BLOCK_MS)
            for key, entries in answer:
                now = time.perf_counter()
                self._after[key.decode()] = entries[-1][0]
                for _, fields in entries:
                    self._take(fields[b"c"], now)

    def _take(self, batch: bytes, now: float) -> None:
        for envelope in decode_envelopes(batch):
            command = envelope.command
            if isinstance(command, Trigger):
                self.repeated += command.order in self.seen
                self.seen.setdefault(command.order, (now, self._symbols[command.instrument], command.price))
