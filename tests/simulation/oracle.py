"""A slow book, written from the specification alone, that says what the fast one must do.

It shares the words with the core (types, commands, events) and nothing else: no levels, no indexes, no
order of its own. All that stands in the market is one list; the first in line is found by
looking at all of it. A fill-or-kill order is tried on a copy of the book, and whatever is refused is
refused because the trial says so. The state is written down separately, too, to compare hashes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import blake2b
from typing import Any

import msgspec

from matching.core.commands import Amend, AnyCommand, Cancel, CancelAll, Halt, Place, Resume, Trigger
from matching.core.events import (
    Amended,
    Armed,
    Cancelled,
    Decremented,
    Event,
    Opened,
    Refused,
    Rejected,
    StatusChanged,
    Traded,
    Triggered,
)
from matching.core.types import (
    InstrumentId,
    MarketStatus,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
)


@dataclass(eq=False)
class Entry:
    """An order as the oracle sees it; `waits` for a stop that is not triggered."""

    place: Place
    price: int
    total: int
    left: int
    since: int
    collar: int
    waits: bool = False

    @property
    def id(self) -> str:
        return self.place.id

    @property
    def takes_market_price(self) -> bool:
        return self.place.type in {OrderType.MARKET, OrderType.STOP}


class Oracle:
    """All instruments of a group; `apply` and `state_hash` answer like the core's."""

    def __init__(self, instruments: Iterable[InstrumentId]) -> None:
        self.markets = {instrument: Market(instrument) for instrument in instruments}

    def apply(self, command: AnyCommand, sequence: int) -> list[Event]:
        return self.markets[command.instrument].answer(command, sequence)

    def state_hash(self) -> str:
        state = [self.markets[instrument].state() for instrument in sorted(self.markets)]
        return blake2b(msgspec.msgpack.encode(state), digest_size=32).hexdigest()


class Market:
    def __init__(self, instrument: InstrumentId) -> None:
        self.instrument = instrument
        self.status = MarketStatus.TRADING
        self.trades = 0
        self.priority_offset = 0  # between its count of places and its group's of commands
        self.entries: list[Entry] = []

    # -- what a command does

    def answer(self, command: AnyCommand, sequence: int) -> list[Event]:
        match command:
            case Place():
                total = command.quantity
                return self.place(Entry(command, command.price, total, total, sequence, command.collar_ppm))
            case Cancel():
                return self.cancel(command)
            case CancelAll():
                theirs = [entry for entry in self.entries if entry.place.user == command.user]
                theirs.sort(key=lambda entry: entry.since)
                return [self.withdrawn(entry, command.reason) for entry in theirs]
            case Amend():
                return self.amend(command, sequence)
            case Trigger():
                return self.trigger(command, sequence)
            case Halt():
                self.status = command.status
            case Resume():
                self.status = MarketStatus.TRADING
        return [StatusChanged(self.instrument, self.status)]

    def place(self, entry: Entry) -> list[Event]:
        if self.takes_no_orders():
            return [Rejected(entry.id, Reason.MARKET_HALTED)]
        if entry.place.type in {OrderType.STOP, OrderType.STOP_LIMIT}:
            entry.waits = True
            self.entries.append(entry)
            return [Armed(entry.id, entry.since)]
        problem = self.problem(entry)
        return [Rejected(entry.id, problem)] if problem else self.let_in(entry)

    def cancel(self, command: Cancel) -> list[Event]:
        entry = self.named(command.order)
        if entry is None:
            return [Refused(command.id, command.order, Reason.UNKNOWN_ORDER)]
        return [self.withdrawn(entry, command.reason)]

    def amend(self, command: Amend, sequence: int) -> list[Event]:
        entry = self.named(command.order)
        if self.takes_no_orders():
            return [Refused(command.id, command.order, Reason.MARKET_HALTED)]
        if entry is None:
            return [Refused(command.id, command.order, Reason.UNKNOWN_ORDER)]
        gone = entry.total - entry.left
        if command.quantity <= gone:
            return [Refused(command.id, command.order, Reason.QUANTITY_NOT_ABOVE_FILLED)]
        changed = replace(entry, price=command.price, total=command.quantity, left=command.quantity - gone)
        stays = entry.waits or (entry.price == command.price and command.quantity <= entry.total)
        amended = Amended(entry.id, command.price, command.quantity, changed.left, stays)
        if stays:
            self.entries[self.entries.index(entry)] = changed
            return [amended]
        problem = self.problem(changed)
        if problem:
            return [Refused(command.id, command.order, problem)]
        self.entries.remove(entry)
        changed.since = sequence
        return [amended, *self.let_in(changed)]

    def trigger(self, command: Trigger, sequence: int) -> list[Event]:
        entry = self.named(command.order)
        if self.takes_no_orders():
            return [Refused(command.id, command.order, Reason.MARKET_HALTED)]
        if entry is None:
            return [Refused(command.id, command.order, Reason.UNKNOWN_ORDER)]
        if not entry.waits:
            return [Refused(command.id, command.order, Reason.ALREADY_TRIGGERED)]
        entry.collar = command.collar_ppm
        if self.status is MarketStatus.POST_ONLY and self.in_line(entry, self.worst_price(entry)):
            return [Refused(command.id, command.order, Reason.MARKET_HALTED)]
        problem = self.problem(entry)
        self.entries.remove(entry)
        triggered = Triggered(entry.id, command.price)
        if problem:
            return [triggered, Cancelled(entry.id, entry.left, problem)]
        entry.waits = False
        entry.since = sequence
        return [triggered, *self.let_in(entry)]

    # -- who is first in line

    def in_line(self, taker: Entry, worst: Fraction) -> list[Entry]:
        """All that the taker may trade with, in the order in which it meets them."""
        if taker.place.side is Side.BUY:
            facing = [entry for entry in self.on(Side.SELL) if entry.price <= worst]
            return sorted(facing, key=lambda entry: (entry.price, entry.since))
        facing = [entry for entry in self.on(Side.BUY) if entry.price >= worst]
        return sorted(facing, key=lambda entry: (-entry.price, entry.since))

    def worst_price(self, taker: Entry) -> Fraction:
        """Its own price; at the market not beyond the collar either, which is a fraction, never rounded."""
        own = Fraction(taker.price)
        if not taker.takes_market_price:
            return own
        part = Fraction(taker.collar, 1_000_000)
        if taker.place.side is Side.BUY:
            best = min((entry.price for entry in self.on(Side.SELL)), default=taker.price)
            return min(own, best * (1 + part))
        best = max((entry.price for entry in self.on(Side.BUY)), default=taker.price)
        return max(own, best * (1 - part))

    # -- what stands in its way

    def problem(self, taker: Entry) -> Reason | None:
        line = self.in_line(taker, self.worst_price(taker))
        if not line:
            if taker.takes_market_price:
                return Reason.NO_LIQUIDITY
            return Reason.FOK_UNFILLED if taker.place.time_in_force is TimeInForce.FOK else None
        if taker.place.post_only or self.status is MarketStatus.POST_ONLY:
            return Reason.POST_ONLY_WOULD_CROSS
        if taker.place.time_in_force is TimeInForce.FOK:
            return self.try_fill_or_kill(taker)
        newest_goes = taker.place.prevention is SelfTradePrevention.CANCEL_NEWEST
        return Reason.SELF_TRADE if newest_goes and line[0].place.user == taker.place.user else None

    def try_fill_or_kill(self, taker: Entry) -> Reason | None:
        trial, candidate = copy.copy(self), replace(taker)
        trial.entries = [replace(entry) for entry in self.entries]
        events = trial.run(candidate)
        met_own = any(isinstance(event, Decremented | Cancelled) for event in events)
        if met_own and taker.place.prevention is not SelfTradePrevention.CANCEL_OLDEST:
            return Reason.SELF_TRADE
        return Reason.FOK_UNFILLED if candidate.left else None

    # -- what happens in the market

    def let_in(self, taker: Entry) -> list[Event]:
        events = self.run(taker)
        if taker.left == 0 or (events and isinstance(events[-1], Cancelled) and events[-1].order == taker.id):
            return events
        if taker.takes_market_price:
            return [*events, Cancelled(taker.id, taker.left, Reason.MARKET_REST)]
        if taker.place.time_in_force is not TimeInForce.GTC:
            return [*events, Cancelled(taker.id, taker.left, Reason.IOC_REST)]
        self.entries.append(taker)
        return [*events, Opened(taker.id, taker.left, taker.since)]

    def run(self, taker: Entry) -> list[Event]:
        """Meet those in line one by one, until the taker is done or none is left."""
        events: list[Event] = []
        worst = self.worst_price(taker)
        for maker in self.in_line(taker, worst):
            if maker.place.user != taker.place.user:
                events.append(self.fill(maker, taker))
            else:
                own = self.meet_own(maker, taker)
                events.extend(own)
                if any(isinstance(event, Cancelled) and event.order == taker.id for event in own):
                    break
            if taker.left == 0:
                break
        return events

    def fill(self, maker: Entry, taker: Entry) -> Traded:
        lots = self.lessen(maker, taker)
        self.trades += 1
        price, side = maker.price, taker.place.side
        number = self.trades
        return Traded(self.instrument, number, price, lots, maker.id, taker.id, side, maker.left, taker.left)

    def meet_own(self, maker: Entry, taker: Entry) -> list[Event]:
        match taker.place.prevention:
            case SelfTradePrevention.CANCEL_NEWEST:
                return [Cancelled(taker.id, taker.left, Reason.SELF_TRADE)]
            case SelfTradePrevention.CANCEL_OLDEST:
                self.entries.remove(maker)
                return [Cancelled(maker.id, maker.left, Reason.SELF_TRADE)]
            case SelfTradePrevention.CANCEL_BOTH:
                self.entries.remove(maker)
                return [Cancelled(entry.id, entry.left, Reason.SELF_TRADE) for entry in (maker, taker)]
            case SelfTradePrevention.DECREMENT:
                lots = self.lessen(maker, taker)
                events: list[Event] = [Decremented(entry.id, lots, entry.left) for entry in (maker, taker)]
                gone = [entry for entry in (maker, taker) if entry.left == 0]
                return events + [Cancelled(entry.id, 0, Reason.SELF_TRADE) for entry in gone]

    def lessen(self, maker: Entry, taker: Entry) -> int:
        lots = min(maker.left, taker.left)
        maker.left -= lots
        taker.left -= lots
        if maker.left == 0:
            self.entries.remove(maker)
        return lots

    # -- little helpers

    def takes_no_orders(self) -> bool:
        return self.status in {MarketStatus.HALTED, MarketStatus.CANCEL_ONLY}

    def on(self, side: Side) -> list[Entry]:
        return [entry for entry in self.entries if entry.place.side is side and not entry.waits]

    def named(self, order: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.id == order), None)

    def withdrawn(self, entry: Entry, reason: Reason) -> Cancelled:
        self.entries.remove(entry)
        return Cancelled(entry.id, entry.left, reason)

    def state(self) -> list[Any]:
        bids = sorted(self.on(Side.BUY), key=lambda entry: (-entry.price, entry.since))
        asks = sorted(self.on(Side.SELL), key=lambda entry: (entry.price, entry.since))
        stops = sorted((entry for entry in self.entries if entry.waits), key=lambda entry: entry.since)
        lists = [[self.row(entry) for entry in entries] for entries in (bids, asks, stops)]
        return [self.instrument, self.status, self.trades, *lists, self.priority_offset]

    def row(self, entry: Entry) -> list[Any]:
        p = entry.place
        return [
            p.id,
            p.instrument,
            p.user,
            p.side,
            p.type,
            p.time_in_force,
            entry.price,
            entry.total,
            p.stop_price,
            p.post_only,
            p.prevention,
            0,  # a collar is a command's, not an order's
            entry.left,
            entry.since,
        ]
