"""What simulated makers and takers want: on the market's steps, within bounds, the same again for a seed."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest

from exchange.simulate.market import (
    BUY,
    LEVELS,
    RESERVE,
    SELL,
    SLACK,
    STEP,
    WHOLE,
    WIDTH,
    Ladder,
    Quote,
    Terms,
    Walk,
    take,
)

VIEW = {
    "symbol": "BTC/USDT",
    "base": "BTC",
    "quote": "USDT",
    "tick_size": "0.01",
    "lot_size": "0.00001",
    "min_quantity": "0.00001",
    "min_notional": "1",
}
TERMS = Terms.of(VIEW)
START = TERMS.start(None)
RICH = {"BTC": Decimal(100), "USDT": Decimal(10_000_000)}
UNIT = TERMS.unit(START, RICH["BTC"])
MAKERS = 3


def walk(seed: int, steps: int, start: int = START) -> list[int]:
    moving = Walk(start, Random(seed))
    return [moving.step() for _ in range(steps)]


def ladders() -> list[Ladder]:
    return [Ladder.of_maker(number, MAKERS, START) for number in range(MAKERS)]


def test_a_walk_starts_at_the_last_trade_or_where_it_looks_right() -> None:
    assert START == 6_000_000
    assert TERMS.start(Decimal("51234.56")) == 5_123_456
    other = Terms.of(VIEW | {"symbol": "DOGE/USDT", "tick_size": "0.5"})
    assert other.start(None) == 200


@pytest.mark.parametrize("start", [1, 7, START])
def test_a_walk_moves_by_small_steps_within_its_bounds(start: int) -> None:
    prices = walk(1, 20_000, start)
    step, width = max(1, start * STEP // WHOLE), max(1, start * WIDTH // WHOLE)
    assert all(abs(after - before) <= step for before, after in zip([start, *prices], prices, strict=False))
    assert all(max(1, start - width) <= price <= start + width for price in prices)
    assert len(set(prices)) > 1


def test_a_walk_is_drawn_back() -> None:
    moving = Walk(START, Random(1))
    moving.fair = START + START * WIDTH // WHOLE
    prices = [moving.step() for _ in range(20_000)]
    assert abs(sum(prices[10_000:]) // 10_000 - START) < START // 100


def test_a_seed_gives_the_same_again() -> None:
    assert walk(7, 500) == walk(7, 500)
    assert walk(7, 500) != walk(8, 500)
    quotes = [ladders()[0].missing(TERMS, START, [], RICH, UNIT, Random(3)) for _ in range(2)]
    assert quotes[0] == quotes[1]
    taken = [take(TERMS, START, RICH, UNIT, Random(3)) for _ in range(2)]
    assert taken[0] == taken[1]


def test_a_maker_fills_both_sides_around_the_price_and_no_two_makers_meet() -> None:
    for fair in walk(2, 200):
        bids: set[int] = set()
        asks: set[int] = set()
        for ladder in ladders():
            quotes = ladder.missing(TERMS, fair, [], RICH, UNIT, Random(1))
            assert len(quotes) == 2 * LEVELS
            assert all(ladder.keeps(quote, fair) for quote in quotes)
            bids |= {quote.ticks for quote in quotes if quote.side == BUY}
            asks |= {quote.ticks for quote in quotes if quote.side == SELL}
            assert all(UNIT <= quote.lots <= 3 * UNIT * (LEVELS + SLACK) for quote in quotes)
        assert max(bids) < fair < min(asks)
        assert len(bids) == len(asks) == MAKERS * LEVELS  # each maker has prices of their own


def test_few_quotes_change_when_the_price_moves() -> None:
    ladder = ladders()[0]
    resting = ladder.missing(TERMS, START, [], RICH, UNIT, Random(1))
    assert ladder.missing(TERMS, START, resting, RICH, UNIT, Random(1)) == []
    fair = START + ladder.gap
    kept = [quote for quote in resting if ladder.keeps(quote, fair)]
    added = ladder.missing(TERMS, fair, kept, RICH, UNIT, Random(1))
    assert len(resting) - len(kept) <= 1
    assert {quote.side for quote in added} == {BUY, SELL}
    assert len(added) <= 3
    far = START + 50 * ladder.gap
    assert not any(ladder.keeps(quote, far) for quote in resting)


def test_a_side_that_cannot_be_paid_for_is_not_quoted() -> None:
    ladder = ladders()[0]
    no_base = RICH | {"BTC": Decimal(0)}
    assert {quote.side for quote in ladder.missing(TERMS, START, [], no_base, UNIT, Random(1))} == {BUY}
    little = {"BTC": Decimal("0.2"), "USDT": Decimal(9_000)}
    quotes = ladder.missing(TERMS, START, [], little, UNIT, Random(1))
    for side, asset in ((BUY, "USDT"), (SELL, "BTC")):
        spent = sum(TERMS.cost(side, quote.ticks, quote.lots) for quote in quotes if quote.side == side)
        assert spent <= little[asset]


def test_a_taker_takes_what_the_money_allows() -> None:
    random = Random(4)
    takes = [take(TERMS, START, RICH, UNIT, random) for _ in range(200)]
    assert {each.side for each in takes if each} == {BUY, SELL}
    assert any(each.ticks is None for each in takes if each)
    for each in takes:
        assert each is not None
        if each.ticks is not None:
            assert (each.ticks > START) is (each.side == BUY)
    no_quote = RICH | {"USDT": Decimal(0)}
    sales = [take(TERMS, START, no_quote, UNIT, random) for _ in range(50)]
    assert {each.side for each in sales if each} == {SELL}
    assert take(TERMS, START, {}, UNIT, random) is None
    assert RESERVE > WHOLE


def test_a_small_order_is_worth_what_the_market_asks_for() -> None:
    lira = Terms.of(VIEW | {"quote": "TRY", "tick_size": "1", "min_notional": "50"})
    least = lira.least(2_000_000)
    assert lira.cost(BUY, 2_000_000, least) >= 100 > lira.cost(BUY, 2_000_000, least - 1)
    assert lira.unit(2_000_000, Decimal(0)) == least
    assert UNIT == 5_000  # 0.05 BTC of 100
    assert Quote(BUY, 1, 1).order_id == ""
