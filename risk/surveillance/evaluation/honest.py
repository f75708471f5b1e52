"""People who trade for their own reasons, among them those who are easily taken for something else.

Sizes are heavy-tailed (Pareto, as trade sizes are found to be: X. Gabaix et al., "A theory of power-law
distributions in financial market fluctuations", Nature 423 (2003)). Look-alikes: market makers who cancel nearly
all they show and lean to one side, two users who meet all the time, scalpers who end where they began, momentum
traders, large patient orders that are withdrawn, and members of one household who meet by chance.
"""

from __future__ import annotations

from matching.core.types import Side
from risk.surveillance.evaluation.market import Person, SimulatedMarket


def size(market: SimulatedMarket, typical: float = 4.0) -> float:
    return min(400.0, typical * market.random.paretovariate(1.5))


def side(market: SimulatedMarket, *, tilt: float = 0.0) -> Side:
    """`tilt` from -1 (surely sells) to 1 (surely buys)."""
    return Side.BUY if market.random.random() < (1 + tilt) / 2 else Side.SELL


def the_world(market: SimulatedMarket) -> Person:
    """The value wanders, and now and then there is news."""
    while True:
        market.value += market.random.gauss(0, 0.3) + 0.005 * market.pressure
        market.pressure *= 0.98
        if market.random.random() < 0.002:
            market.value += market.random.gauss(0, 8)
        yield 1.0


def market_maker(market: SimulatedMarket, user: str) -> Person:
    """Shows both sides at some levels, again each few seconds; leans against what it has."""
    rnd = market.random
    every, levels, typical = rnd.uniform(2, 8), rnd.randint(1, 3), rnd.uniform(10, 40)
    leaning = rnd.choice((1.5, 3.0, 5.0))  # how much more it shows on the side that it wants
    quotes: list[str] = []
    while True:
        for order in quotes:
            market.cancel(order)
        wanted = rnd.choice(list(Side))
        half, around = rnd.uniform(2, 4), market.value + market.pressure + rnd.gauss(0, 0.7)
        quotes = []
        for level in range(levels):
            for way in Side:
                quantity = typical * rnd.uniform(0.7, 1.3) * (leaning if way is wanted else 1)
                price = _beside(market, way, around, half + 2 * level)
                quotes.append(market.place(user, way, price, quantity))
        yield rnd.expovariate(1 / every)


def trader(market: SimulatedMarket, user: str) -> Person:
    """Comes now and then; takes, or waits for a while at the best price. Most look at who is stronger."""
    rnd = market.random
    sees = rnd.random() < 0.6
    while True:
        yield rnd.expovariate(1 / 150)
        way = side(market, tilt=0.6 * market.imbalance() if sees else 0.0)
        if rnd.random() < 0.6:
            market.take(user, way, size(market))
        else:
            best = market.bid if way is Side.BUY else market.ask
            order = market.place(user, way, best, size(market))
            yield rnd.expovariate(1 / 60)
            market.cancel(order)


def patient(market: SimulatedMarket, user: str) -> Person:
    """Shows one large order some ticks away, withdraws it when bored, and trades a little meanwhile."""
    rnd = market.random
    while True:
        way = side(market)
        away = rnd.randint(1, 6)
        price = market.bid - away if way is Side.BUY else market.ask + away
        order = market.place(user, way, price, size(market, 60))
        yield rnd.uniform(15, 200)
        if rnd.random() < 0.5:
            market.take(user, side(market), size(market))
            yield rnd.expovariate(1 / 20)
        market.cancel(order)
        yield rnd.expovariate(1 / 120)


def momentum_trader(market: SimulatedMarket, user: str) -> Person:
    """Goes with a move, in slices, and out when it tires."""
    rnd = market.random
    trigger, slices = rnd.uniform(5, 14), rnd.randint(1, 5)
    while True:
        yield rnd.expovariate(1 / 5)
        moved = market.change(30)
        if abs(moved) < trigger:
            continue
        way, quantity = (Side.BUY if moved > 0 else Side.SELL), size(market, 5)
        for _ in range(slices):
            market.take(user, way, quantity)
            yield rnd.uniform(0.5, 4)
        yield rnd.expovariate(1 / 90)
        for _ in range(slices):
            market.take(user, way.opposite, quantity)
            yield rnd.uniform(0.5, 4)


def scalper(market: SimulatedMarket, user: str) -> Person:
    """In and out again with the same size, all day."""
    rnd = market.random
    quantity = rnd.uniform(3, 12)
    while True:
        yield rnd.expovariate(1 / 60)
        way = side(market, tilt=market.imbalance())
        market.take(user, way, quantity)
        yield rnd.uniform(5, 60)
        market.take(user, way.opposite, quantity)


def tight_quoter(market: SimulatedMarket, user: str) -> Person:
    """One half of two who often meet: always shows the best price on one side or the other."""
    rnd = market.random
    while True:
        way = side(market)
        inside = market.bid + 1 if way is Side.BUY else market.ask - 1
        order = market.place(user, way, inside, size(market, 6)) if market.ask - market.bid > 2 else None
        yield rnd.expovariate(1 / 6)
        if order:
            market.cancel(order)


def regular(market: SimulatedMarket, user: str, friend: str) -> Person:
    """The other half: trades whenever that price is there."""
    rnd = market.random
    while True:
        yield rnd.expovariate(1 / 8)
        for way, level in ((Side.SELL, market.book.bids.best), (Side.BUY, market.book.asks.best)):
            if level is not None and level.first.user == friend:
                market.take(user, way, size(market), reach=0)
                break


def _beside(market: SimulatedMarket, way: Side, around: float, away: float) -> float:
    """A price on its own side of the market, so that the order rests."""
    if way is Side.BUY:
        return min(around - away, market.ask - 1)
    return max(around + away, market.bid + 1)
