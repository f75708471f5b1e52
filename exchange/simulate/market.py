"""Where a simulated price goes, which quotes a maker wants around it, and what a taker takes.

Pure: chance is a `Random` that the caller brings, so a seed gives the same market again. Prices are whole
ticks and quantities whole lots; a share of a price is in basis points (ten-thousandths).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

BUY, SELL = "BUY", "SELL"
WHOLE = 10_000  # basis points
STEP = 2  # the most a price moves at once
WIDTH = 1_000  # the most it is ever away from where it began
GAP = 2  # between a maker's quotes
LEVELS = 8  # quotes a side
SCATTER = 7_919  # a prime: neighbouring prices look unlike each other, and are the same each time
SLACK = 3  # quotes that may stay behind the last one before they are taken back
REACH = 20  # how far through the fair price a taker's IOC goes
RESERVE = 11_000  # what a taker must own of an order's worth: a MARKET order is held at its collar
UNITS = 2_000  # a trader's balance is so many times the size of a small order
DEFAULT_START = Decimal(100)
STARTS = {"BTC/USDT": Decimal(60_000), "ETH/USDT": Decimal(3_000), "BTC/TRY": Decimal(2_000_000)}


@dataclass(frozen=True)
class Terms:
    """Steps and limits of one market."""

    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    min_quantity: Decimal
    min_notional: Decimal

    @classmethod
    def of(cls, view: Mapping[str, Any]) -> Terms:
        """From an item of `GET symbols`."""
        numbers = (Decimal(view[name]) for name in ("tick_size", "lot_size", "min_quantity", "min_notional"))
        return cls(view["symbol"], view["base"], view["quote"], *numbers)

    def start(self, last: Decimal | None) -> int:
        """Ticks a walk begins at: the last trade's price, or one that looks right."""
        return max(1, int((last or STARTS.get(self.symbol, DEFAULT_START)) // self.tick))

    def least(self, ticks: int) -> int:
        """Lots of the smallest order worth taking at that price, with room for the price to fall."""
        worth = 2 * self.min_notional / (ticks * self.tick)
        return -int(-max(self.min_quantity, worth) // self.lot)

    def unit(self, ticks: int, base_total: Decimal) -> int:
        """Lots of a small order of a trader who owns `base_total`."""
        return max(self.least(ticks), int(base_total / UNITS // self.lot))

    def price(self, ticks: int) -> Decimal:
        return ticks * self.tick

    def quantity(self, lots: int) -> Decimal:
        return lots * self.lot

    def cost(self, side: str, ticks: int, lots: int) -> Decimal:
        """What an order blocks: quote for a purchase, base for a sale."""
        return self.price(ticks) * self.quantity(lots) if side == BUY else self.quantity(lots)

    def paid_in(self, side: str) -> str:
        return self.quote if side == BUY else self.base


class Walk:
    """A fair price that moves at random and is drawn back to where it began, the harder the farther it is."""

    def __init__(self, start: int, random: Random) -> None:
        self.fair = self._middle = start
        self._width = max(1, start * WIDTH // WHOLE)
        self._random = random

    def step(self) -> int:
        move = self._random.randint(0, max(1, self._middle * STEP // WHOLE))
        away = self.fair - self._middle
        up = self._random.randrange(2 * self._width) < self._width - away
        low, high = max(1, self._middle - self._width), self._middle + self._width
        self.fair = min(high, max(low, self.fair + (move if up else -move)))
        return self.fair


@dataclass(frozen=True)
class Quote:
    """An order that rests, or shall; `order_id` if it does."""

    side: str
    ticks: int
    lots: int
    order_id: str = ""


@dataclass(frozen=True)
class Take:
    """An order that trades at once: IOC at `ticks`, MARKET where that is None."""

    side: str
    lots: int
    ticks: int | None


@dataclass(frozen=True)
class Ladder:
    """Where one maker quotes: at prices about `gap` apart that stay the same, so that few quotes change when the
    price moves; the nearest is about `distance` from the fair price. Each is up to `play` above a multiple of
    `gap` and the maker's `offset`."""

    gap: int
    offset: int
    distance: int
    play: int

    @classmethod
    def of_maker(cls, number: int, makers: int, start: int) -> Ladder:
        """Makers stand between each other's prices, and the first is nearest."""
        gap = max(makers, start * GAP // WHOLE)
        offset = gap * number // makers
        return cls(gap, offset, gap + offset, gap // makers)

    def prices(self, side: str, fair: int) -> Iterator[int]:
        """Wanted ticks, best first."""
        if side == BUY:
            best = (fair - self.distance - self.offset) // self.gap
            slots = range(best, best - LEVELS, -1)
        else:
            best = -(-(fair + self.distance - self.offset) // self.gap)
            slots = range(best, best + LEVELS)
        prices = (slot * self.gap + self.offset + slot * SCATTER % self.play for slot in slots)
        return (ticks for ticks in prices if ticks > 0)

    def keeps(self, quote: Quote, fair: int) -> bool:
        """Whether a resting quote may stay: neither nearly crossed by the fair price nor far behind."""
        away = fair - quote.ticks if quote.side == BUY else quote.ticks - fair
        return self.distance // 2 <= away <= self.distance + (LEVELS + SLACK) * self.gap

    def missing(
        self,
        terms: Terms,
        fair: int,
        resting: Sequence[Quote],
        available: Mapping[str, Decimal],
        unit: int,
        random: Random,
    ) -> list[Quote]:
        """Quotes to add, nearest first: what is wanted, not there, and can be paid for."""
        there = {(quote.side, quote.ticks) for quote in resting}
        left = dict(available)
        found = []
        for pair in zip(self.prices(BUY, fair), self.prices(SELL, fair), strict=False):
            for side, ticks in zip((BUY, SELL), pair, strict=True):
                if (side, ticks) in there:
                    continue
                steps = 1 + abs(fair - ticks) // (2 * self.gap)
                lots = random.randint(unit, 3 * unit) * steps
                cost, asset = terms.cost(side, ticks, lots), terms.paid_in(side)
                if cost <= left.get(asset, Decimal(0)):
                    left[asset] -= cost
                    found.append(Quote(side, ticks, lots))
        return found


def take(terms: Terms, fair: int, available: Mapping[str, Decimal], unit: int, random: Random) -> Take | None:
    """What a taker does: buys or sells as the coin falls, or as the money allows; None if it allows nothing."""
    sides = [BUY, SELL]
    random.shuffle(sides)
    lots = random.randint(unit, 4 * unit)
    market = random.random() < 0.5
    for side in sides:
        needed = terms.cost(side, fair, lots) * RESERVE / WHOLE
        if needed <= available.get(terms.paid_in(side), Decimal(0)):
            reach = max(1, fair * REACH // WHOLE)
            limit = fair + reach if side == BUY else max(1, fair - reach)
            return Take(side, lots, None if market else limit)
    return None
