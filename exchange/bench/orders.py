"""Requests as bytes on the wire, prepared before the clock runs: who sends which orders at which price.

Of each two traders one only buys and the other only sells, so no trader meets their own orders. A buyer bids a
little above the middle, a seller asks a little below it: of any two the first rests and the second crosses
it. So half of the orders cross, in whatever order they come; as much is bought as is sold, so the book does
not grow.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from exchange.bench.load import NUMBER

API = "/api/v1"
MIDDLE = 1_000_000  # ticks
JITTER = 20  # ticks around the middle at which orders trade
DEPTH_FROM, DEPTH_STEP = 1_000, 10  # ticks from the middle at which orders rest for good
STOP_STEP, STOP_LEVELS = 100, 5_000  # ticks from the middle at which stops wait, at so many prices a side
STOP_LIMIT = 600_000  # ticks from the middle, away from all that trades, where a stop's limit is
STOP_UNITS = 4  # so that even at the lowest price it is worth the least notional
PAIRS = 4  # of a buying and a selling request, which a lane repeats
ID_GROWTH = 10 - len(NUMBER)  # what an id is longer than its placeholder


@dataclass(frozen=True)
class Trader:
    user_id: str
    token: str


@dataclass(frozen=True)
class Steps:
    """What the requests need to know of a market. `unit` is the least size of an order here, in lots."""

    symbol: str
    tick: Decimal
    lot: Decimal
    unit: int

    @classmethod
    def of(cls, view: dict[str, str]) -> Steps:
        """From an item of `GET symbols`."""
        tick, lot = Decimal(view["tick_size"]), Decimal(view["lot_size"])
        least = max(Decimal(view["min_quantity"]), 2 * Decimal(view["min_notional"]) / (MIDDLE * tick))
        return cls(view["symbol"], tick, lot, math.ceil(least / lot))

    @property
    def slug(self) -> str:
        return self.symbol.replace("/", "-")

    @property
    def assets(self) -> list[str]:
        return self.symbol.split("/")


class Requests:
    """Writes requests for one server. `run` makes the ids of this run unlike those of all others; orders that
    trade have 1 to `sizes` units."""

    def __init__(
        self, host: str, port: int, run: str, traders: Sequence[Trader], markets: Sequence[Steps], sizes: int
    ) -> None:
        self._host = f"{host}:{port}"
        self._run = run
        self._traders = traders
        self._markets = markets
        self._sizes = sizes
        self._random = random.Random(run)  # noqa: S311 - no secret

    def trading(self, name: str, lanes: int, batch: int) -> list[list[str]]:
        """Requests that trade, for each lane: single orders, or batches of so many if `batch` is not 0."""
        return [self._trading_lane(f"{self.prefix(name)}{lane}-", lane, batch) for lane in range(lanes)]

    def resting(self, name: str, lanes: int, markets: int, batch: int, levels: int) -> list[list[str]]:
        """Batches that rest away from the middle at so many prices a side, in the first `markets` markets."""
        return [
            self._resting_lane(
                f"{self.prefix(name)}{lane}-", lane, self._markets[lane // 2 % markets], batch, levels
            )
            for lane in range(lanes)
        ]

    def stops(self, name: str, lanes: int, market: int, batch: int, count: int) -> list[list[str]]:
        """For each lane its share of `count` batches of stops in one market: half of the lanes buy, every other
        stop has a limit, and none ever trades."""
        return [
            [
                self._stop_batch(
                    f"{self.prefix(name)}{lane}-",
                    lane,
                    self._markets[market],
                    batch,
                    turn * (lanes // 2) + lane // 2,
                )
                for turn in range(math.ceil(count / lanes))
            ]
            for lane in range(lanes)
        ]

    @property
    def markets(self) -> Sequence[Steps]:
        return self._markets

    def book(self, lanes: int) -> list[list[str]]:
        slugs = [market.slug for market in self._markets]
        return [[self._get(f"{API}/orderbook/{slugs[lane % len(slugs)]}")] for lane in range(lanes)]

    def prefix(self, name: str) -> str:
        """What the client_order_id of every order of the load `name` begins with."""
        return f"bench-{self._run}-{name}-"

    def _trading_lane(self, prefix: str, lane: int, batch: int) -> list[str]:
        market = self._markets[lane % len(self._markets)]
        first = lane // len(self._markets) % 2 == 0  # half of a market's lanes begin with a purchase
        requests = []
        for _ in range(PAIRS):
            sizes = [self._random.randint(1, self._sizes) for _ in range(batch or 1)]
            for buying in (first, not first):
                self._random.shuffle(sizes)
                orders = [self._order(market, prefix, buying, size, self._near(buying)) for size in sizes]
                requests.append(self._place(self._trader(lane, buying), orders, batch))
        return requests

    def _resting_lane(self, prefix: str, lane: int, market: Steps, batch: int, levels: int) -> list[str]:
        buying = lane % 2 == 0
        requests = []
        for _ in range(2 * PAIRS):
            orders = [self._order(market, prefix, buying, 1, self._far(buying, levels)) for _ in range(batch)]
            requests.append(self._place(self._trader(lane, buying), orders, batch))
        return requests

    def _stop_batch(self, prefix: str, lane: int, market: Steps, batch: int, number: int) -> str:
        buying = lane % 2 == 0
        away = 1 if buying else -1
        orders = []
        for place in range(number * batch, (number + 1) * batch):
            stop = MIDDLE + away * STOP_STEP * (place % STOP_LEVELS + 1)
            order = self._order(market, prefix, buying, STOP_UNITS, MIDDLE - away * STOP_LIMIT)
            order |= {"order_type": "STOP_LIMIT", "stop_price": f"{stop * market.tick:f}"}
            if place % 2:
                order["order_type"] = "STOP"
                del order["price"], order["time_in_force"]
            orders.append(order)
        return self._place(self._trader(lane, buying), orders, batch)

    def _near(self, buying: bool) -> int:
        distance = self._random.randint(0, JITTER)
        return MIDDLE + distance if buying else MIDDLE - distance

    def _far(self, buying: bool, levels: int) -> int:
        distance = DEPTH_FROM + DEPTH_STEP * self._random.randrange(levels)
        return MIDDLE - distance if buying else MIDDLE + distance

    def _trader(self, lane: int, buying: bool) -> Trader:
        return self._traders[(2 * lane + (not buying)) % len(self._traders)]

    def _order(self, market: Steps, prefix: str, buying: bool, size: int, ticks: int) -> dict[str, str]:
        return {
            "client_order_id": prefix + NUMBER,
            "symbol": market.symbol,
            "side": "BUY" if buying else "SELL",
            "order_type": "LIMIT",
            "time_in_force": "GTC",
            "price": f"{ticks * market.tick:f}",
            "quantity": f"{size * market.unit * market.lot:f}",
        }

    def _place(self, trader: Trader, orders: list[dict[str, str]], batch: int) -> str:
        path, body = (f"{API}/orders/batch", {"orders": orders}) if batch else (f"{API}/orders", orders[0])
        text = json.dumps(body, separators=(",", ":"))
        length = len(text) + ID_GROWTH * len(orders)
        return (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {trader.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{text}"
        )

    def _get(self, path: str) -> str:
        return f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n"
