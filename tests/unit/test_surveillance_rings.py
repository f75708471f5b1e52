"""Wash trades and rings: what is one, and what only looks like it."""

from __future__ import annotations

import random

import pytest

from risk.detectors import wash_rings, wash_trades
from risk.detectors.records import DAY, SECOND, Finding, Owners, Trade, flows
from risk.detectors.wash_rings import WASH_RING, WashRing
from risk.detectors.wash_trades import WashTrade
from tests.unit.surveillance import among, trade


def find_rings(trades: list[Trade], owners: Owners | None = None, **limits: float) -> list[Finding]:
    return wash_rings.find("X", flows(trades), among(trades), owners or {}, WashRing(**limits))  # type: ignore[arg-type]


def find_wash(trades: list[Trade], owners: Owners, **limits: float) -> list[Finding]:
    return wash_trades.find("X", flows(trades), among(trades), owners, WashTrade(**limits))  # type: ignore[arg-type]


def circle(members: str, rounds: int, quantity: str = "10") -> list[Trade]:
    pairs = list(zip(members, members[1:] + members[0], strict=True))
    return [
        trade(n * 60 + step, seller, buyer, quantity)
        for n in range(rounds)
        for step, (seller, buyer) in enumerate(pairs)
    ]


def crowd(rng: random.Random, count: int) -> list[Trade]:
    """Honest users, each with all others."""
    names = [f"h{n}" for n in range(30)]
    made = []
    for n in range(count):
        seller, buyer = rng.sample(names, 2)
        made.append(trade(n, seller, buyer, f"{rng.paretovariate(1.5) * 5:.3f}"))
    return made


@pytest.mark.parametrize("members", ["ab", "abc", "abcde", "abcdefgh"])
def test_a_circle_is_found_whole_in_a_crowd(members: str) -> None:
    rng = random.Random(1)
    trades = circle(members, 5) + crowd(rng, 600)
    trades += [trade(n, "h1", rng.choice(members), "3") for n in range(3)]  # and they trade with others too
    (found,) = find_rings(sorted(trades, key=lambda one: one.at))
    assert found.users == tuple(members)
    assert found.kind is WASH_RING
    assert found.detail["members"] == len(members)
    assert found.detail["trades"] == 5 * len(members)
    assert 0.3 < found.score <= 1


def test_a_crowd_is_no_ring() -> None:
    assert find_rings(crowd(random.Random(2), 3000)) == []


def test_each_must_end_where_they_began_or_hand_on_the_same_size() -> None:
    one_way = [
        *circle("abc", 5),
        trade(400, "a", "b", "40"),
        trade(401, "b", "c", "23"),
        trade(402, "c", "a", "7"),
    ]
    uneven = [
        trade(n, pair[0], pair[1], str(quantity))
        for n, (pair, quantity) in enumerate(
            (pair, quantity)
            for quantity in (3, 5, 8, 13, 21)
            for pair, quantity in (("ab", quantity), ("bc", 2 * quantity), ("ca", 7 * quantity))
        )
    ]
    assert find_rings(one_way)  # most of it was handed on
    assert find_rings(uneven) == []


def test_two_who_often_meet_are_no_ring_even_when_they_end_even() -> None:
    rng = random.Random(3)
    trades, net = [], 0.0
    for n in range(60):
        quantity = round(rng.paretovariate(1.5) * 7, 3)
        pair = "ab" if net <= 0 else "ba"
        net += quantity if pair == "ab" else -quantity
        trades.append(trade(n, pair[0], pair[1], f"{quantity:.3f}"))
    seller, buyer = "ba" if net > 0 else "ab"
    trades.append(trade(61, seller, buyer, f"{abs(net):.3f}"))
    assert find_rings(trades) == []


def test_a_scalper_and_a_market_maker_are_no_ring() -> None:
    trades = [
        trade(n, "ms"[n % 2], "sm"[n % 2], "5") for n in range(20)
    ]  # always the same size, back and forth
    assert find_rings(trades)
    others = [trade(n, "m", f"h{n}", "15") for n in range(60)]
    assert find_rings(trades + others) == []


def test_more_than_most_members_and_too_few_trades_are_no_ring() -> None:
    assert find_rings(circle("abcde", 5), most_members=4) == []
    assert find_rings(circle("abcde", 2)) == []
    assert find_rings(circle("abcde", 2), least_trades=2)


def test_accounts_of_one_owner_are_one_member() -> None:
    trades = circle("axb", 5)  # a and x belong together: between them it is a wash trade, no edge of a ring
    (found,) = find_rings(trades, {"a": "family", "x": "family"})
    assert found.detail["members"] == 2
    assert found.users == ("a", "b", "x")


def test_windows_overlap_by_half_and_stand_still() -> None:
    hour = 3600 * SECOND
    assert wash_rings.windows(hour, 0, hour) == [
        (-hour // 2, hour // 2),
        (0, hour),
        (hour // 2, hour // 2 + hour),
    ]
    moved = wash_rings.windows(hour, 10 * SECOND, hour)
    assert moved == wash_rings.windows(hour, 0, hour)
    for at in (0, 1, hour // 2 - 1, hour // 2, hour - 1):
        assert sum(start <= at < end for start, end in wash_rings.windows(hour, at, at + 1)) == 2


def test_a_wash_trade_is_between_accounts_of_one_owner() -> None:
    owners = {"a": "k", "b": "k", "c": "other"}
    trades = [trade(n, "a", "b") for n in range(3)] + [trade(5, "a", "c"), trade(6, "d", "b")]
    (found,) = find_wash(trades, owners)
    assert found.users == ("a", "b")
    assert found.trades == tuple(one.id for one in trades[:3])
    assert found.detail["quantity"] == "30"
    assert found.score == pytest.approx(60 / 80)
    assert find_wash(trades, {}) == []


def test_a_household_may_meet_by_chance() -> None:
    owners = {"a": "k", "b": "k"}
    meetings = [trade(n, "a", "b") for n in range(3)]
    others = [trade(10 + n, "a", "m", "10") for n in range(60)]
    assert find_wash(meetings[:2], owners) == []
    assert find_wash(meetings + others, owners) == []
    assert find_wash(meetings + others, owners, least_share=0.05)


def test_the_same_conduct_has_one_key_a_day() -> None:
    first, second = find_rings(circle("abc", 4))[0], find_rings(circle("abc", 6))[0]
    assert first.dedup == second.dedup
    tomorrow = [trade(one.at / SECOND + DAY / SECOND, one.seller, one.buyer) for one in circle("abc", 4)]
    (again,) = find_rings(tomorrow)
    assert again.dedup != first.dedup
    assert again.subject == first.subject
    assert len(first.dedup) <= 200
