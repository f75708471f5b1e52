"""Runs rounds of the simulation and counts what was found of what was there.

A finding is true if it names the kind and only people of one injected act; a ring must be named whole. All
else is false: also a true spoofer under the wrong name, and a part of a ring.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from risk.detectors import momentum_ignition, registry, spoofing, wash_rings, wash_trades
from risk.detectors.records import SECOND, AbuseKind, Finding, Owners, flows
from risk.detectors.registry import DEFAULT, Rules
from risk.surveillance.evaluation import abuse, honest
from risk.surveillance.evaluation.market import SimulatedMarket

SYMBOL = "SIM/USD"
DURATION = 2 * 3600  # seconds of each round
WARM_UP = 300  # an empty book is not abused
RING_SIZES = (2, 3, 5, 8)
ROUNDS = 10
OF_EACH = 2  # injected, a round
TUNED_ON = range(1, 9)
FIRST_SEED = 1000  # far from those

HONEST = {
    honest.market_maker: 8,
    honest.trader: 160,
    honest.patient: 5,
    honest.momentum_trader: 12,
    honest.scalper: 4,
}
FRIENDS = 2  # pairs
HOUSEHOLDS = 5  # pairs of traders


@dataclass(frozen=True)
class Act:
    kind: AbuseKind
    users: frozenset[str]
    size: int  # of a ring; 1 where one owner acts alone


@dataclass
class Round:
    market: SimulatedMarket
    acts: list[Act]
    owners: Owners


@dataclass
class Line:
    """Of one kind and size of group."""

    injected: int = 0
    recalled: int = 0
    findings: int = 0
    true: int = 0

    @property
    def recall(self) -> float | None:
        return self.recalled / self.injected if self.injected else None

    @property
    def precision(self) -> float | None:
        return self.true / self.findings if self.findings else None


@dataclass
class Score:
    rounds: int = 0
    trades: int = 0
    orders: int = 0
    honest: int = 0
    accused: int = 0  # honest users who are named in some finding
    lines: dict[tuple[AbuseKind, int], Line] = field(default_factory=dict)

    def line(self, kind: AbuseKind, size: int) -> Line:
        return self.lines.setdefault((kind, size), Line())


def evaluate(seeds: Iterable[int], progress: Callable[[str], None], rules: Rules = DEFAULT) -> Score:
    score = Score()
    for seed in seeds:
        done = simulate(seed)
        count(score, done, look(done, rules))
        progress(
            f"seed {seed}: {len(done.market.trades)} trades, {len(done.market.shown)} orders in the book"
        )
    return score


def simulate(seed: int) -> Round:
    market = SimulatedMarket(seed)
    market.enter(honest.the_world(market))
    owners = _honest(market)
    acts = _abuse(market, owners)
    market.run(DURATION)
    return Round(market, acts, owners)


def look(done: Round, rules: Rules) -> list[Finding]:
    """All findings, as a run of the detectors on a live market finds them: the same in two windows is one."""
    market = done.market
    found: dict[str, Finding] = {}
    for length in wash_rings.LENGTHS[:2]:  # a week has no more in it than a day here
        for start, end in wash_rings.windows(length, 0, DURATION * SECOND):
            trades = [trade for trade in market.trades if start <= trade.at < end]

            def among(users: Iterable[str], trades: Any = trades) -> Any:
                wanted = set(users)
                return [trade for trade in trades if trade.buyer in wanted and trade.seller in wanted]

            for finding in registry.in_flows(SYMBOL, flows(trades), among, done.owners, rules, length=length):
                found[finding.dedup] = finding
    for start, end in wash_rings.windows(3600 * SECOND, 0, DURATION * SECOND):
        trades = [trade for trade in market.trades if start <= trade.at < end]
        shown = [
            order
            for order in market.shown
            if order.opened < end and (order.closed is None or order.closed >= start)
        ]
        for finding in registry.in_orders(SYMBOL, trades, shown, done.owners, rules, until=end):
            found[finding.dedup] = finding
    return list(found.values())


def count(score: Score, done: Round, findings: list[Finding]) -> None:
    score.rounds += 1
    score.trades += len(done.market.trades)
    score.orders += len(done.market.shown)
    guilty = frozenset().union(*(act.users for act in done.acts))
    traders = {user for trade in done.market.trades for user in (trade.buyer, trade.seller)}
    score.honest += len(traders - guilty)
    score.accused += len({user for finding in findings for user in finding.users} - guilty)
    for act in done.acts:
        line = score.line(act.kind, act.size)
        line.injected += 1
        line.recalled += any(proves(finding, act) for finding in findings)
    for finding in findings:
        size = finding.detail.get("members", 1)
        line = score.line(finding.kind, size)
        line.findings += 1
        line.true += any(proves(finding, act) for act in done.acts)


def proves(finding: Finding, act: Act) -> bool:
    named = frozenset(finding.users)
    return finding.kind == act.kind and (named == act.users if act.size > 1 else named <= act.users)


def _honest(market: SimulatedMarket) -> dict[str, str]:
    """All who trade for their own reasons; the households among them."""
    for person, number in HONEST.items():
        for n in range(number):
            user = f"{person.__name__}-{n}"
            market.enter(person(market, user), market.random.uniform(0, 30))
    for n in range(FRIENDS):
        market.enter(honest.tight_quoter(market, f"tight-{n}"))
        market.enter(honest.regular(market, f"regular-{n}", f"tight-{n}"))
    return {f"trader-{n}": f"household-{n // 2}" for n in range(2 * HOUSEHOLDS)}


def _abuse(market: SimulatedMarket, owners: dict[str, str]) -> list[Act]:
    rnd: random.Random = market.random
    acts = []

    def begin(kind: AbuseKind, users: list[str], size: int, person: Any) -> None:
        acts.append(Act(kind, frozenset(users), size))
        market.enter(person, WARM_UP + rnd.uniform(0, DURATION / 3))

    for n in range(OF_EACH):
        accounts = [f"accounts{n}-{i}" for i in range(2)]
        owners |= dict.fromkeys(accounts, f"owner-{n}")
        begin(wash_trades.WASH_TRADE, accounts, 1, abuse.ring(market, accounts))
        for size in RING_SIZES:
            members = [f"ring{size}.{n}-{i}" for i in range(size)]
            begin(wash_rings.WASH_RING, members, size, abuse.ring(market, members))
        begin(spoofing.SPOOFING, [f"spoofer-{n}"], 1, abuse.spoofer(market, f"spoofer-{n}"))
        layers = rnd.randint(3, 6)
        begin(spoofing.LAYERING, [f"layerer-{n}"], 1, abuse.spoofer(market, f"layerer-{n}", layers=layers))
        begin(momentum_ignition.MOMENTUM_IGNITION, [f"igniter-{n}"], 1, abuse.igniter(market, f"igniter-{n}"))
    return acts
