"""Risk figures against what is published, and the arithmetic of average cost, rates, concentration and score."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from risk.models import Parameters
from risk.portfolio import concentration, risk_score, value_at_risk, var_backtest
from risk.portfolio.average_cost import Holding, bought, sold
from risk.portfolio.concentration import Concentration
from risk.portfolio.conversion import Step, paths, rate
from risk.portfolio.price_history import PriceHistory, returns
from risk.portfolio.valuation import reckon

D = Decimal


# Historical simulation


def test_the_var_of_500_outcomes_at_99_percent_is_the_fifth_worst_loss() -> None:
    """The tail of Hull, Risk Management and Financial Institutions, table "losses ranked from highest to lowest
    for volatility scaling" (in $000s), before 495 that are smaller."""
    worst = [1082.969, 715.512, 687.720, 661.221, 602.968]
    pnl = np.array([-loss for loss in worst] + [float(gain) for gain in range(-490, 5)])
    np.random.default_rng(1).shuffle(pnl)
    loss = value_at_risk.historical(pnl, 0.99)
    assert loss.var == pytest.approx(602.968)
    assert loss.shortfall == pytest.approx(sum(worst) / 5)


def test_a_tail_that_is_no_whole_number_counts_its_last_outcome_in_part() -> None:
    """Acerbi and Tasche: with 150 outcomes at 99 %, the worst and half of the next."""
    pnl = np.array([-10.0, -4.0, *[1.0] * 148])
    loss = value_at_risk.historical(pnl, 0.99)
    assert loss.var == pytest.approx(4)
    assert loss.shortfall == pytest.approx((10 + 0.5 * 4) / 1.5)


def test_a_shortfall_is_never_below_its_var() -> None:
    chance = np.random.default_rng(7)
    for length in range(100, 400, 13):
        for confidence in (0.95, 0.975, 0.99):
            loss = value_at_risk.historical(chance.standard_t(3, length), confidence)
            assert loss.shortfall >= loss.var


def test_too_few_outcomes_have_no_var() -> None:
    with pytest.raises(ValueError, match="99 outcomes say nothing of the worst 1%"):
        value_at_risk.historical(np.zeros(99), 0.99)
    assert value_at_risk.historical(np.arange(100.0), 0.99).var == 0  # the worst of a hundred


# Parametric


def test_hulls_portfolio_of_two_stocks() -> None:
    """Hull, Options, Futures, and Other Derivatives: $10 million at 2 % a day and $5 million at 1 %, correlation
    0.3: a deviation of $220,227 a day, and over ten days, at 99 % by its 2.33, $1,622,657 (of one stock alone
    $1,473,621 and $368,405)."""
    values = np.array([10e6, 5e6])
    covariance = np.array([[0.02**2, 0.3 * 0.02 * 0.01], [0.3 * 0.02 * 0.01, 0.01**2]])
    exact = 2.3263478740408408 / 2.33
    loss = value_at_risk.parametric(values, covariance, 0.99).over(10)
    assert loss.var / exact == pytest.approx(1_622_657, abs=1)
    for held, alone in ((np.array([10e6, 0.0]), 1_473_621), (np.array([0.0, 5e6]), 368_405)):
        assert value_at_risk.parametric(held, covariance, 0.99).over(10).var / exact == pytest.approx(
            alone, abs=1
        )


def test_a_normal_shortfall_has_its_closed_form() -> None:
    """2.6652 deviations at 99 %, 2.0627 at 95 %: φ(z) / (1 - c)."""
    one = np.array([[1.0]])
    assert value_at_risk.parametric(np.array([1.0]), one, 0.99).shortfall == pytest.approx(2.6652, abs=1e-4)
    assert value_at_risk.parametric(np.array([1.0]), one, 0.95).shortfall == pytest.approx(2.0627, abs=1e-4)


@pytest.mark.parametrize(("decay", "expected"), [(0.90, 0.00013), (0.94, 0.000118)])
def test_weights_fall_by_the_decay(decay: float, expected: float) -> None:
    """Hull's example of EWMA: a daily deviation of 1 % and then a return of 2 %; with λ = 0.9 the variance
    becomes 0.9 × 0.01² + 0.1 × 0.02² = 0.00013."""
    returns = np.array([0.01 * (-1) ** day for day in range(1500)] + [0.02])[:, None]
    assert value_at_risk.covariance(returns, decay)[0, 0] == pytest.approx(expected, rel=1e-9)


# Kupiec


@pytest.mark.parametrize(
    ("observations", "exceptions", "confidence", "statistic", "p_value"),
    [
        (252, 6, 0.99, 3.4988, 0.0614),  # Jorion, Value at Risk, 3rd edition, chapter 6, question 10: 3.498
        (252, 20, 0.95, 3.9126, 0.0479),  # the same, J.P. Morgan's exceptions of 1998: 3.91
        (1043, 57, 0.95, 0.46147, 0.49694),  # MATLAB Risk Management Toolbox, documentation of pof
        (500, 25, 0.95, 0.0, 1.0),  # as many as expected
        (255, 0, 0.99, -2 * 255 * math.log(0.99), 0.0236),
    ],
)
def test_kupiecs_statistic(
    observations: int, exceptions: int, confidence: float, statistic: float, p_value: float
) -> None:
    found = var_backtest.kupiec(observations, exceptions, confidence)
    assert found.statistic == pytest.approx(statistic, abs=1e-4)
    assert found.p_value == pytest.approx(p_value, abs=1e-4)


@pytest.mark.parametrize(
    ("confidence", "observations", "above", "below"),
    [
        (0.99, 510, 1, 11),
        (0.99, 1000, 4, 17),
        (0.975, 252, 2, 12),
        (0.975, 510, 6, 21),
        (0.975, 1000, 15, 36),
        (0.95, 252, 6, 20),
        (0.95, 510, 16, 36),
        (0.95, 1000, 37, 65),
    ],
)
def test_kupiecs_regions(confidence: float, observations: int, above: int, below: int) -> None:
    """Jorion, table 6.2 (after Kupiec 1995): the numbers of exceptions that do not reject at 95 %."""
    accepted = [
        count for count in range(120) if var_backtest.kupiec(observations, count, confidence).p_value >= 0.05
    ]
    assert accepted == list(range(above + 1, below))


def test_a_back_test_forecasts_each_outcome_from_those_before_it_alone() -> None:
    pnl = np.concatenate([-np.arange(100.0), [-98.5, -99.5, -200.0, -150.0]])
    test = var_backtest.run(pnl, 100, 0.99)  # the worst of the hundred before: 99, 99, 99.5, 200
    assert (test.tested, test.exceptions) == (4, 2)
    assert test.kupiec == var_backtest.kupiec(4, 2, 0.99)


def test_a_right_model_passes_and_a_wrong_one_does_not() -> None:
    chance = np.random.default_rng(11)
    calm = var_backtest.run(chance.normal(size=1250), 250, 0.99)
    assert calm.kupiec is not None and calm.kupiec.p_value > 0.05
    growing = np.exp(np.linspace(0, 5, 1250))
    wild = var_backtest.run(chance.normal(size=1250) * growing, 250, 0.99)
    assert wild.kupiec is not None and wild.kupiec.p_value < 0.05


# Average cost


def test_average_cost_by_hand() -> None:
    holding = bought(Holding(), D(100), D(2), D(0))
    holding = bought(holding, D(130), D(1), D(0))
    assert holding == Holding(D(3), D(330), D(0), 2)  # 110 each
    holding = sold(holding, D(120), D(1), D("0.12"))
    assert (holding.quantity, holding.cost, holding.realised) == (2, 220, D("9.88"))
    holding = sold(holding, D(100), D(3), D(0))  # two at a loss of ten each, and one short at 100
    assert (holding.quantity, holding.cost, holding.realised) == (-1, -100, D("-10.12"))
    holding = bought(holding, D(90), D(1), D(0))
    assert (holding.quantity, holding.cost, holding.realised) == (0, 0, D("-0.12"))


def test_a_buyers_fee_makes_what_is_left_dearer() -> None:
    holding = bought(Holding(), D(100), D(1), D("0.2"))
    assert (holding.quantity, holding.cost) == (D("0.8"), 100)
    assert bought(Holding(), D(100), D("0.1"), D("0.1")) == Holding(D(0), D(0), D(-10), 1)


def test_no_money_is_lost_in_rounding() -> None:
    """Whatever is traded, `realised - cost` is what came in, and quantity what is left, to the last digit."""
    chance = random.Random(3)
    holding, cash, quantity = Holding(), D(0), D(0)
    for _ in range(3000):
        price, amount = D(chance.randrange(1, 10**7)) / 100, D(chance.randrange(1, 10**5)) / 10**8
        if chance.random() < 0.5:
            fee = D(f"{amount * D('0.001'):.8f}")
            holding = bought(holding, price, amount, fee)
            cash, quantity = cash - price * amount, quantity + amount - fee
        else:
            fee = D(f"{price * amount * D('0.001'):.10f}")
            holding = sold(holding, price, amount, fee)
            cash, quantity = cash + price * amount - fee, quantity - amount
        assert (holding.cash, holding.quantity) == (cash, quantity)
        assert holding.cost * holding.quantity >= 0


# Rates, concentration, score

MARKETS = [("BTC/USDT", "BTC", "USDT"), ("ETH/BTC", "ETH", "BTC"), ("USDT/TRY", "USDT", "TRY")]


def test_an_asset_is_worth_what_the_shortest_way_of_markets_says() -> None:
    ways = paths([*MARKETS, ("ETH/USDT", "ETH", "USDT")], "USDT")
    assert ways["ETH"] == (Step("ETH/USDT", False),)
    ways = paths(MARKETS, "USDT")
    assert ways["ETH"] == (Step("ETH/BTC", False), Step("BTC/USDT", False))
    prices = {"BTC/USDT": D(60000), "ETH/BTC": D("0.05"), "USDT/TRY": D(40)}
    worth = {asset: rate(way, prices) for asset, way in ways.items()}
    assert worth == {"USDT": 1, "BTC": 60000, "ETH": 3000, "TRY": D("0.025")}
    assert "DOGE" not in ways


def test_returns_begin_where_all_markets_on_the_way_do() -> None:
    ways = paths(MARKETS, "USDT")
    nan = math.nan
    closes = {
        "ETH/BTC": np.array([nan, nan, 0.05, 0.05, 0.06]),
        "BTC/USDT": np.array([nan, 100.0, 100, 110, 110]),
    }
    assert returns(ways["ETH"], closes) == pytest.approx([0.1, 0.2])
    assert returns(ways["TRY"], {"USDT/TRY": np.array([40.0, 50.0])}) == pytest.approx([-0.2])


def test_concentration_leaves_the_currency_out_but_counts_it_as_part_of_the_whole() -> None:
    largest = concentration.largest({"USDT": D(50), "BTC": D(30), "ETH": D(20)}, "USDT")
    assert largest == Concentration("BTC", 0.3)
    assert concentration.largest({"USDT": D(50)}, "USDT") == concentration.NONE
    assert concentration.largest({}, "USDT") == concentration.NONE


@pytest.mark.parametrize(
    ("before", "now", "news"),
    [
        (concentration.NONE, Concentration("BTC", 0.30), False),  # above 30 %, not at it
        (concentration.NONE, Concentration("BTC", 0.301), True),
        (Concentration("BTC", 0.31), Concentration("BTC", 0.39), False),
        (Concentration("BTC", 0.39), Concentration("BTC", 0.41), True),
        (Concentration("ETH", 0.45), Concentration("BTC", 0.41), True),
        (Concentration("BTC", 0.29), Concentration("BTC", 0.31), True),
    ],
)
def test_a_concentration_is_news_when_it_begins_or_grows(
    before: Concentration, now: Concentration, news: bool
) -> None:
    assert concentration.is_news(now, before, 0.30) is news


def score_of(**known: object) -> int:
    given = {"value": 100.0, "var_99": 0.0, "share": 0.0, "severities": [], "full_var": 0.2, "threshold": 0.3}
    return risk_score.parts(**(given | known)).score  # type: ignore[arg-type]


def test_the_score_by_hand() -> None:
    assert score_of() == 0
    assert score_of(var_99=10.0) == 25  # half of what counts in full
    assert score_of(var_99=90.0) == 50
    assert score_of(var_99=None, share=1.0) == 30
    assert score_of(severities=[3]) == 50
    assert score_of(severities=[4, 4]) == 99
    assert score_of(var_99=20.0, share=1.0, severities=[3]) == round(100 * (1 - 0.5 * 0.7 * 0.5))
    assert score_of(value=0.0, var_99=0.0) == 0


# A portfolio in figures

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_portfolio_without_enough_history_has_a_value_and_no_var() -> None:
    market = PriceHistory({"USDT": D(1), "BTC": D(100)}, {"BTC": np.zeros(99)})
    found = reckon("u", NOW, {"BTC": D(2), "USDT": D(600), "XYZ": D(5)}, [], market, Parameters())
    assert found.portfolio.value == 800
    assert found.portfolio.unpriced == ["XYZ"]
    assert found.portfolio.var_99 is None
    assert found.portfolio.note == "no VaR: BTC has 99 of the 100 returns (1h) that it needs"
    assert found.score.parts["market"] is None
    assert (found.portfolio.concentrated, found.portfolio.concentration) == ("BTC", 0.25)


def test_a_portfolio_with_history_loses_what_its_assets_lost_together() -> None:
    """200 hours, each worse than the one before by a hundredth of a percent; 24 hours are √24 times as much."""
    falls = -np.arange(1, 201) / 10_000
    market = PriceHistory({"USDT": D(1), "BTC": D(100), "ETH": D(10)}, {"BTC": falls, "ETH": -falls})
    held = {"BTC": D(3), "ETH": D(10), "USDT": D(1000)}  # 300 against 100: 200 BTC at risk
    portfolio = reckon("u", NOW, held, [], market, Parameters()).portfolio
    assert portfolio.var_99 == D(str(round(200 * 0.0199 * math.sqrt(24), 2)))  # the second worst of 200
    assert portfolio.var_95 == D(str(round(200 * 0.0191 * math.sqrt(24), 2)))
    assert portfolio.es_99 == D(str(round(200 * 0.01995 * math.sqrt(24), 2)))
    assert portfolio.observations == 200 and portfolio.tested == 100
    assert portfolio.exceptions == 100  # each was worse than all before


def test_all_in_the_currency_risks_nothing() -> None:
    market = PriceHistory({"USDT": D(1)}, {})
    found = reckon("u", NOW, {"USDT": D(1000)}, [], market, Parameters())
    assert (found.portfolio.var_99, found.portfolio.note, found.score.score) == (0, "", 0)
