"""Who acts when: one market and one trader a turn, at a bounded rate, until stopped.

A turn is a taker's order, or a maker's look at their quotes: what the price has come near to or left behind
is cancelled, what is missing is placed. What rests is read from the exchange each time, so nothing here goes
wrong when an answer is lost or the exchange is restarted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random

import httpx
import msgspec

from exchange.simulate.client import Trader, Unexpected
from exchange.simulate.market import Ladder, Terms, Walk, take

TAKES = 0.3  # share of turns in which a taker acts
MOST_CHANGES = 12  # of a maker's quotes in a turn
REPORT_SECONDS = 10.0
AFTER_ERROR = 1.0  # seconds
ENDING_SECONDS = 8.0  # a process that keeps us is patient for ten


class Counts(msgspec.Struct):
    """`orders` that were accepted, `refused` because the market had moved, `trades` of the markets."""

    orders: int = 0
    refused: int = 0
    cancelled: int = 0
    trades: int = 0
    errors: int = 0


class Summary(Counts):
    """`clean`: no order is left open."""

    seconds: float = 0.0
    symbols: list[str] = []
    last_error: str = ""
    clean: bool = False


class Market:
    def __init__(self, terms: Terms, last: Decimal | None, trades: int, makers: int, random: Random) -> None:
        self.terms = terms
        self.trades_before = trades
        self.walk = Walk(terms.start(last), random)
        self.ladders = [Ladder.of_maker(number, makers, self.walk.fair) for number in range(makers)]


class Simulation:
    """`http` is a client of the API; `say` gets a line of progress now and then."""

    def __init__(
        self,
        http: httpx.Client,
        makers: Sequence[Trader],
        takers: Sequence[Trader],
        *,
        rate: int,
        random: Random,
        stop: threading.Event,
        say: Callable[[str], None],
    ) -> None:
        self._http = http
        self._makers = makers
        self._takers = takers
        self._rate = rate
        self._random = random
        self._stop = stop
        self._say = say
        self._markets: list[Market] = []
        self._summary = Summary()

    def run(self, seconds: float | None) -> Summary:
        """Raises httpx.HTTPError or `Unexpected` if the exchange cannot be traded on at the beginning."""
        self._markets = self._open_markets()
        self._summary.symbols = [market.terms.symbol for market in self._markets]
        self._say(f"trading {', '.join(self._summary.symbols)} at up to {self._rate} orders a second")
        for trader in (*self._makers, *self._takers):
            trader.cancel_all()  # what a run that was killed has left
        began = time.monotonic()
        try:
            self._trade(began, began + seconds if seconds else float("inf"))
        finally:
            self._summary.clean = self._end()
        self._summary.seconds = round(time.monotonic() - began, 1)
        return self._summary

    def _trade(self, began: float, ends: float) -> None:
        due, reported, before = began, began, Counts()
        while not self._stop.is_set() and (now := time.monotonic()) < ends:
            if now >= reported + REPORT_SECONDS:
                before, reported = self._report(before), now
            try:
                used = self._turn()
            except (httpx.HTTPError, Unexpected) as error:
                self._failed(error)
                self._stop.wait(min(AFTER_ERROR, max(0.0, ends - time.monotonic())))
                continue
            due = max(due, now) + used / self._rate
            self._stop.wait(max(0.0, min(due, ends) - time.monotonic()))

    def _turn(self) -> int:
        """How many orders were placed and cancelled, at least 1."""
        market = self._random.choice(self._markets)
        market.walk.step()
        if self._random.random() < TAKES:
            return self._take(market, self._random.choice(self._takers))
        number = self._random.randrange(len(self._makers))
        return self._quote(market, self._makers[number], market.ladders[number])

    def _take(self, market: Market, taker: Trader) -> int:
        terms, fair = market.terms, market.walk.fair
        available, unit = self._means(taker, terms, fair)
        wanted = take(terms, fair, available, unit, self._random)
        if wanted is not None:
            self._count(1, taker.take(terms, wanted))
        return 1

    def _quote(self, market: Market, maker: Trader, ladder: Ladder) -> int:
        terms, fair = market.terms, market.walk.fair
        resting = maker.quotes(terms)
        stale = [quote for quote in resting if not ladder.keeps(quote, fair)][:MOST_CHANGES]
        for quote in stale:
            maker.cancel(quote)
        self._summary.cancelled += len(stale)
        kept = [quote for quote in resting if quote not in stale]
        available, unit = self._means(maker, terms, fair)
        added = ladder.missing(terms, fair, kept, available, unit, self._random)[:MOST_CHANGES]
        if added:
            self._count(len(added), maker.quote(terms, added))
        return max(1, len(stale) + len(added))

    def _means(self, trader: Trader, terms: Terms, fair: int) -> tuple[dict[str, Decimal], int]:
        """What the trader has available by asset, and a small order's lots for a trader with that much."""
        balances = trader.balances()
        unit = terms.unit(fair, balances[terms.base][1])
        return {asset: available for asset, (available, _) in balances.items()}, unit

    def _count(self, sent: int, accepted: int) -> None:
        self._summary.orders += accepted
        self._summary.refused += sent - accepted

    def _failed(self, error: Exception) -> None:
        self._summary.errors += 1
        self._summary.last_error = str(error)

    def _report(self, before: Counts) -> Counts:
        """Say what came since `before`; the counts as they are now."""
        try:
            self._summary.trades = self._trades()
        except (httpx.HTTPError, Unexpected) as error:
            self._failed(error)
        now = self._summary
        counts = Counts(now.orders, now.refused, now.cancelled, now.trades, now.errors)
        parts = (
            f"{getattr(counts, name) - getattr(before, name)} {name}" for name in Counts.__struct_fields__
        )
        self._say(", ".join(parts) + (f" ({now.last_error})" if counts.errors > before.errors else ""))
        return counts

    def _end(self) -> bool:
        """Cancel all that is open; whether that was seen to be done."""
        deadline = time.monotonic() + ENDING_SECONDS
        left = [*self._makers, *self._takers]
        pause = threading.Event()
        while left and time.monotonic() < deadline:
            try:
                left = [trader for trader in left if not trader.cancel_all()]
                self._summary.trades = self._trades()
            except (httpx.HTTPError, Unexpected) as error:
                self._failed(error)
                pause.wait(0.2)
        return not left

    def _open_markets(self) -> list[Market]:
        """Markets whose assets our traders own."""
        owned = self._makers[0].balances()
        found = []
        for view in self._public("/symbols"):
            terms = Terms.of(view)
            if terms.base in owned and terms.quote in owned:
                last, number = self._last_trade(terms)
                found.append(Market(terms, last, number, len(self._makers), self._random))
        if not found:
            raise Unexpected("there is no market to trade with what the demo has")
        return found

    def _trades(self) -> int:
        return sum(self._last_trade(market.terms)[1] - market.trades_before for market in self._markets)

    def _last_trade(self, terms: Terms) -> tuple[Decimal | None, int]:
        """Its price and number, which counts the market's trades."""
        trades = self._public("/trades", symbol=terms.symbol, limit="1")
        return (Decimal(trades[0]["price"]), int(trades[0]["number"])) if trades else (None, 0)

    def _public(self, path: str, **query: str) -> list[dict[str, str]]:
        answer = self._http.get(path, params=query)
        if not answer.is_success:
            raise Unexpected(f"GET {path}: {answer.status_code} {answer.text[:200]}")
        items: list[dict[str, str]] = answer.json()["items"]
        return items
