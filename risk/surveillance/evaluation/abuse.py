"""People who do what the detectors look for, each a little differently: with other sizes, pauses and care.

They act in the same market as all others: outsiders step between the members of a ring, it may be that no user trades
with a spoofer or follows an igniter. What was tried counts as injected all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from matching.core.types import Side
from risk.surveillance.evaluation.honest import side, size
from risk.surveillance.evaluation.market import Person, SimulatedMarket


def ring(market: SimulatedMarket, members: Sequence[str]) -> Person:
    """Hands a quantity round and round, each time inside the spread. Members trade for themselves too."""
    rnd = market.random
    quantity, rounds = size(market, 25), rnd.randint(4, 12)
    pause = rnd.uniform(600, 5400) / (rounds * len(members))
    care = rnd.choice((0.0, 0.002, 0.02, 0.1))  # how unlike the quantities of two steps are
    camouflage = rnd.uniform(0, 0.4)
    for _ in range(rounds):
        for seller, buyer in zip(members, [*members[1:], members[0]], strict=True):
            yield rnd.expovariate(1 / pause)
            if market.ask - market.bid < 2:
                yield rnd.uniform(1, 5)
            price = rnd.randint(market.bid + 1, market.ask - 1) if market.ask - market.bid > 1 else market.ask
            lots = quantity * rnd.uniform(1 - care, 1 + care)
            first, second = (
                ((seller, Side.SELL), (buyer, Side.BUY))
                if rnd.random() < 0.5
                else ((buyer, Side.BUY), (seller, Side.SELL))
            )
            resting = market.place(*first, price, lots)
            yield rnd.uniform(0.005, 0.4)
            market.place(*second, price, lots, ioc=True)
            market.cancel(resting)
            if rnd.random() < camouflage:
                market.take(rnd.choice(members), side(market), size(market))


def spoofer(market: SimulatedMarket, user: str, *, layers: int = 1) -> Person:
    """A small order at the best price; large ones on the other side until it trades; then they go."""
    rnd = market.random
    depth, times = rnd.uniform(100, 500), rnd.randint(3, 8)
    small = depth / rnd.uniform(4, 25)
    patience, haste = rnd.uniform(10, 45), rnd.uniform(0.2, 6)
    for _ in range(times):
        yield rnd.expovariate(1 / 400)
        way = side(market)
        wanted = market.place(user, way, market.bid if way is Side.BUY else market.ask, small)
        yield rnd.uniform(0.2, 3)
        shown, first, step = [], rnd.randint(1, 2), rnd.randint(1, 2)
        for layer in range(layers):
            away = first + step * layer
            price = market.ask + away if way is Side.BUY else market.bid - away
            shown.append(market.place(user, way.opposite, price, depth / layers * rnd.uniform(0.8, 1.2)))
            yield rnd.uniform(0.05, 0.5)
        waited = 0.0
        while market.filled(wanted) < 0.5 * small and waited < patience:
            yield 0.5
            waited += 0.5
        yield rnd.uniform(0, haste)
        for order in shown:
            market.cancel(order)
        market.cancel(wanted)


def igniter(market: SimulatedMarket, user: str) -> Person:
    """Buys through the book in quick steps, offers what it has to followers a little higher, and takes what it
    can get once it has waited long enough; or the other way round."""
    rnd = market.random
    steps, times = rnd.randint(5, 10), rnd.randint(1, 3)
    quantity, patience = rnd.uniform(60, 160), rnd.uniform(20, 90)
    for _ in range(times):
        yield rnd.uniform(600, 2000)
        way = side(market)
        up = 1 if way is Side.BUY else -1
        for _ in range(steps):
            market.take(user, way, quantity)
            yield rnd.uniform(0.3, 3)
        asked = (market.ask if way is Side.BUY else market.bid) + up * rnd.randint(0, 2)
        out = market.place(user, way.opposite, asked, quantity * steps)
        yield patience
        market.cancel(out)
        left = quantity * steps - market.filled(out)
        while left > 1:
            lots = min(left, quantity * rnd.uniform(0.5, 1.5))
            market.take(user, way.opposite, lots, reach=3)
            left -= lots
            yield rnd.uniform(0.5, 5)
