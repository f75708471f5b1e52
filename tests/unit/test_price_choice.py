"""Which source has the word, held against a history that remembers everything; and what is told of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.models.prices import Source
from marketdata.prices.board import LIFE, PAUSE, Board, Listed, News
from marketdata.prices.choice import Choice
from marketdata.prices.quotes import LASTING, Gate, Quote, parse

WS, REST, OWN = Source.BINANCE_WS, Source.BINANCE_REST, Source.LAST_TRADE
PATIENCE = {WS: 5.0, REST: 3.0, OWN: 4.0}
SETTLE = 5.0
WHEN = "2026-01-02T03:04:05.678Z"


@dataclass
class History:
    """All that was said, and the rules in their plainest form: sums over all of it."""

    said: dict[Source, Quote] = field(default_factory=dict)
    vouched: dict[Source, list[float]] = field(default_factory=lambda: defaultdict(list))

    def fresh(self, source: Source, now: float) -> bool:
        return any(now - at < PATIENCE[source] for at in self.vouched[source])

    def settled(self, source: Source) -> bool:
        """Its last signs span SETTLE seconds with no gap in which it grew stale."""
        times = self.vouched[source]
        first = len(times) - 1
        while first > 0 and times[first] - times[first - 1] < PATIENCE[source]:
            first -= 1
        return bool(times) and times[-1] - times[first] >= SETTLE


STEPS = st.lists(
    st.tuples(
        st.integers(0, 40),  # tenths of a second since the step before
        st.sampled_from(Source),
        st.sampled_from(["tell", "tell", "vouch", "vouch", "recall", "nothing"]),
    ),
    max_size=120,
)


@given(STEPS)
def test_the_word_is_where_the_rules_say(steps: list[tuple[int, Source, str]]) -> None:
    choice, history = Choice(PATIENCE, SETTLE), History()
    tenths, current = 0, None
    for number, (wait, source, what) in enumerate(steps, 1):
        tenths += wait
        now = tenths / 10
        quote = Quote(str(number), WHEN)
        if what == "tell":
            choice.record(source, quote, now)
            history.said[source] = quote
            history.vouched[source].append(now)
        elif what == "recall":
            choice.recall(source, quote)
            history.said[source] = quote
        elif what == "vouch":
            choice.vouch(source, now)
            if source in history.said:
                history.vouched[source].append(now)

        view = choice.look(now)
        assert (view is None) == (not history.said)
        if view is None:
            continue
        assert view.quote == history.said[view.source]
        fresh = [each for each in Source if history.fresh(each, now)]
        assert view.stale == (view.source not in fresh), "a stale price is never called fresh"
        assert not (view.stale and fresh), "a fresh price is never withheld for a stale one"
        if view.source is not current:
            if current in fresh:
                assert view.source in fresh[: fresh.index(current)], "it goes to a better one only"
                assert history.settled(view.source), "it goes to one that has proved steady"
            elif fresh:
                assert view.source is fresh[0], "the best takes over"
            current = view.source
        elif current in fresh:
            better = fresh[: fresh.index(current)]
            assert not any(history.settled(each) for each in better), "it goes back when it may"
        assert choice.look(now) == view, "looking twice changes nothing"


@given(st.lists(st.integers(0, 49), max_size=30))
def test_a_source_that_comes_and_goes_never_has_the_word(lives: list[int]) -> None:
    """It speaks for less than SETTLE seconds each time, then is silent until it is stale."""
    silence = int(PATIENCE[WS] * 10) + 1
    choice = Choice(PATIENCE, SETTLE)
    choice.record(REST, Quote("1", WHEN), 0.0)
    assert choice.look(0.0) is not None
    tenths = 0
    for life in lives:
        for tenth in range(life + silence):
            now = (tenths + tenth) / 10
            choice.record(REST, Quote("1", WHEN), now)
            if tenth <= life:
                choice.record(WS, Quote("2", WHEN), now)
            view = choice.look(now)
            assert view is not None and (view.source, view.stale) == (REST, False)
        tenths += life + silence


def test_a_better_source_has_the_word_back_in_time() -> None:
    choice = Choice(PATIENCE, SETTLE)
    heard = []
    for second in range(20):
        choice.record(REST, Quote("1", WHEN), second)
        if second >= 3:
            choice.record(WS, Quote("2", WHEN), second)
        view = choice.look(second)
        assert view is not None
        heard.append(view.source)
    assert heard == [REST] * 8 + [WS] * 12


# Text


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("0.35210000", "0.3521"),
        ("64000.00000000", "64000"),
        ("100", "100"),
        ("0.000000000000000001", "0.000000000000000001"),
        ("999999999999999.9", "999999999999999.9"),
        ("0005.50", "5.5"),
        ("0.1000000000000000000000", "0.1"),
    ],
)
def test_a_price_is_passed_on_as_it_came(text: str, price: str) -> None:
    assert parse(text) == price


RUBBISH = [
    *(
        "",
        " ",
        "NaN",
        "sNaN",
        "Infinity",
        "-1",
        "+1",
        "0",
        "0.000",
        "1e400",
        "1E-9",
        "1_000",
        "1,5",
        "1.",
        ".5",
    ),
    *("1000000000000000", "0.0000000000000000001", "١٢", "64000\n", "0x10", "9" * 5000, "1.2.3", "null"),
]


@pytest.mark.parametrize("text", RUBBISH)
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no price"):
        parse(text)


@given(st.text(max_size=30) | st.decimals().map(str) | st.floats().map(str))
def test_whatever_comes_is_a_sound_price_or_refused(text: str) -> None:
    try:
        price = parse(text)
    except ValueError:
        return
    assert Decimal(price) == Decimal(text)
    assert 0 < Decimal(price) < 10**15
    assert parse(price) == price


# Jumps


def passes(gate: Gate, *prints: tuple[float, str]) -> list[bool]:
    return [gate.passes(Decimal(price), at) for at, price in prints]


def test_a_wrong_print_is_left_out() -> None:
    gate = Gate(Decimal("0.2"))
    assert passes(gate, (0, "100"), (1, "1"), (2, "101"), (3, "1"), (9, "102"), (9, "130")) == [
        *(True, False, True, False, True, False)
    ]


def test_a_market_that_jumped_is_believed_when_it_has_lasted() -> None:
    gate = Gate(Decimal("0.2"))
    assert passes(gate, (0, "100"), (1, "50"), (2, "51"), (1 + LASTING, "49"), (9, "50")) == [
        *(True, False, False, True, True)
    ]


def test_many_different_wrong_prints_never_last() -> None:
    gate = Gate(Decimal("0.2"))
    wrong = [(float(at), str(10**at)) for at in range(4, 15)]
    assert passes(gate, (0, "100"), *wrong) == [True, *(False for _ in wrong)]


# What is told


def listed(*, by_market: bool = False, market_symbol: str = "BTCUSDT", id: int = 1) -> Listed:
    return Listed(id, f"M{id}/USDT", "alpha", market_symbol, by_market)


def board(*markets: Listed) -> Board:
    made = Board(PATIENCE, SETTLE)
    made.adopt(markets or [listed()])
    return made


def publish(board: Board, now: float, everything: bool = True) -> list[News]:
    news = board.news(now, everything)
    board.mark_published(news, now)
    return news


def shown(news: list[News]) -> list[tuple[str, str, str | None, bool]]:
    return [
        (each.view.source, each.view.quote.price, each.stop_price, each.moved) for each in news if each.view
    ]


def test_changes_are_told_at_once_but_not_too_often_and_the_newest_wins() -> None:
    it = board()
    it.record_quote(WS, "BTCUSDT", Quote("1", WHEN), 0.0)
    assert shown(publish(it, 0.0, everything=False)) == [(WS, "1", None, False)]
    for price in range(2, 10):
        it.record_quote(WS, "BTCUSDT", Quote(str(price), WHEN), 0.05)
        assert publish(it, 0.05, everything=False) == []
        assert it.waiting
    assert shown(publish(it, PAUSE, everything=False)) == [(WS, "9", None, False)]
    assert not it.waiting
    assert publish(it, 0.5) == []
    assert shown(publish(it, PAUSE + LIFE)) == [(WS, "9", None, False)], "a sign of life"


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 5)), max_size=200))
def test_at_most_ten_a_second_and_nothing_new_is_forgotten(prints: list[tuple[int, int]]) -> None:
    it, now, times = board(), 0.0, []
    for milliseconds, price in prints:
        now += milliseconds / 1000
        it.record_quote(WS, "BTCUSDT", Quote(str(price), WHEN), now)
        if publish(it, now, everything=False):
            times.append(now)
    assert all(b - a >= PAUSE for a, b in pairwise(times))
    if prints:
        publish(it, now + PAUSE, everything=False)
        assert [news.view.quote.price for news in publish(it, now + 3, everything=True) if news.view] == [
            str(prints[-1][1])
        ]


def test_what_could_not_be_told_is_told_later() -> None:
    it = board()
    it.record_quote(WS, "BTCUSDT", Quote("1", WHEN), 0.0)
    assert len(it.news(0.0, everything=False)) == 1
    it.record_quote(WS, "BTCUSDT", Quote("2", WHEN), 0.1)
    assert len(it.news(0.2, everything=False)) == 1
    assert publish(it, 0.3, everything=False) == []
    assert shown(publish(it, 0.3, everything=True)) == [(WS, "2", None, False)]


def test_stops_on_the_market_have_no_price_but_a_fresh_one_from_outside() -> None:
    it = board(listed(by_market=True))
    it.trade(1, 1, Quote("50", WHEN))
    it.vouch_for_trades("alpha", 0.0)
    assert shown(publish(it, 0.0)) == [(OWN, "50", None, False)], "our own trade does not stand in for it"
    it.vouch_for_trades("alpha", 3.0)
    for second in range(6):
        it.record_quote(WS, "BTCUSDT", Quote("60", WHEN), float(second))
        it.vouch_for_trades("alpha", float(second))
    assert shown(publish(it, 5.0)) == [(WS, "60", "60", True)]
    assert shown(publish(it, 9.9)) == [(WS, "60", "60", False)]
    (stale,) = publish(it, 10.5)
    assert stale.view is not None and stale.view.stale and stale.stop_price is None
    it.record_quote(REST, "BTCUSDT", Quote("60", WHEN), 11.0)
    assert shown(publish(it, 11.0)) == [(REST, "60", "60", True)], "as a price that is new"


def test_stops_on_the_last_trade_follow_it_whatever_the_market_says() -> None:
    it = board(listed(by_market=False))
    it.record_quote(WS, "BTCUSDT", Quote("60", WHEN), 0.0)
    it.trade(1, 7, Quote("50", WHEN))
    assert shown(publish(it, 0.0)) == [(WS, "60", "50", True)]
    it.trade(1, 6, Quote("40", WHEN))
    assert publish(it, 0.5) == [], "an older trade says nothing"
    it.trade(1, 8, Quote("51", WHEN))
    assert shown(publish(it, 0.6)) == [(WS, "60", "51", True)]
    assert shown(publish(it, 100.0)) == [(WS, "60", "51", False)]


def test_the_poll_stands_by_until_the_stream_can_be_relied_on() -> None:
    it = board(listed(), listed(id=2), listed(id=3, market_symbol=""), listed(id=4, market_symbol="ETHUSDT"))
    assert it.markets() == {"BTCUSDT", "ETHUSDT"}
    assert it.uncertain(0.0) == ["BTCUSDT", "ETHUSDT"]
    it.record_quote(WS, "BTCUSDT", Quote("1", WHEN), 0.0)
    publish(it, 0.0)
    assert it.uncertain(0.1) == ["ETHUSDT"]
    it.vouch(WS, ["BTCUSDT"], 2.0)
    assert it.uncertain(4.4) == ["ETHUSDT"]
    assert it.uncertain(4.5) == ["BTCUSDT", "ETHUSDT"], "half its patience is over"


def test_another_name_outside_is_another_market() -> None:
    it = board()
    it.record_quote(WS, "BTCUSDT", Quote("1", WHEN), 0.0)
    it.trade(1, 1, Quote("9", WHEN))
    it.vouch_for_trades("alpha", 0.0)
    publish(it, 0.0)
    it.adopt([listed(market_symbol="BTCEUR")])
    assert shown(publish(it, 0.2)) == [(OWN, "9", "9", False)]
    it.record_quote(WS, "BTCUSDT", Quote("2", WHEN), 0.3)
    assert publish(it, 0.4) == []


def test_a_price_that_is_none_any_more_is_taken_back_once() -> None:
    it = board(listed(by_market=True))
    it.record_quote(WS, "BTCUSDT", Quote("1", WHEN), 0.0)
    publish(it, 0.0)
    it.adopt([listed(by_market=True, market_symbol="")])
    (gone,) = publish(it, 0.2)
    assert (gone.view, gone.stop_price) == (None, None)
    assert publish(it, 5.0) == []
