"""What each command does to a book: check all, then mutate.

Rules of this file: every function named after a command takes (book, command, sequence) and gives the
events in the order in which things happened. Whatever can be refused is found by reading alone; past
the line that says so nothing may fail, and a check that fails there is a broken invariant. No clock, no
randomness, no I/O. All prices are ticks, all quantities lots.

Ordering. Best price first, then the lowest priority. An order that gets a place in the queue, by
`Place`, `Trigger` or an `Amend` that loses its place, gets `sequence` as its priority: the book's own
count, as the engine gives it.

The reach of an order is the worst price it may trade at: its own price, and for MARKET and STOP no
further from the best opposite price than the collar either. The best price counts, also if it is the user's own.

Statuses. CANCEL_ONLY and HALTED take nothing but cancels, halts and resumes. In POST_ONLY every order
is as if it were post-only: a new one that would trade is rejected, an amend refused, and a triggered
stop refused too, so that it stays armed: it should not be lost to a restriction that will be lifted.

Self-trade prevention follows the incoming order's mode. An order is rejected, and an amend refused,
if all it could do is to be cancelled (CANCEL_NEWEST with an own order first in line); once anything
has happened it is cancelled instead. A fill-or-kill order counts other users' orders only and must not
meet an own one before it is filled, except that CANCEL_OLDEST passes over those.

Known limitations. A fill-or-kill check walks the orders it would fill. `Resume` does not look for
stops: the sender of triggers sends refused ones again.
"""

from __future__ import annotations

from matching.core.book import Book
from matching.core.commands import Amend, Cancel, CancelAll, Halt, Place, Resume, Trigger
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
from matching.core.level import Ladder, Order
from matching.core.order_terms import price_is_valid
from matching.core.types import MarketStatus, Reason, SelfTradePrevention, Side, TimeInForce

CLOSED = (MarketStatus.CANCEL_ONLY, MarketStatus.HALTED)
PPM = 1_000_000


# -- the commands


def place(book: Book, command: Place, sequence: int) -> list[Event]:
    order = Order.from_place(command)
    assert book.find(order.id) is None, order
    if book.status in CLOSED:
        return [Rejected(order.id, Reason.MARKET_HALTED)]
    if order.is_stop:
        order.priority = sequence
        book.arm(order)
        return [Armed(order.id, sequence)]
    limit = reach(book, order, command.collar_ppm)
    reason = obstacle(book, order, limit)
    if reason is not None:
        return [Rejected(order.id, reason)]
    # Past this line nothing may fail.
    events: list[Event] = []
    execute(book, order, limit, sequence, events)
    return events


def cancel(book: Book, command: Cancel, sequence: int) -> list[Event]:
    """Allowed in every status."""
    order = book.find(command.order)
    if order is None:
        return [Refused(command.id, command.order, Reason.UNKNOWN_ORDER)]
    return [withdraw(book, order, command.reason)]


def cancel_all(book: Book, command: CancelAll, sequence: int) -> list[Event]:
    """Allowed in every status; a user who has nothing here gives no events."""
    return [withdraw(book, order, command.reason) for order in book.of_user(command.user)]


def amend(book: Book, command: Amend, sequence: int) -> list[Event]:
    """An armed stop keeps its place, and so does an order at the same price and no more quantity."""
    order = book.find(command.order)
    if book.status in CLOSED:
        return [Refused(command.id, command.order, Reason.MARKET_HALTED)]
    if order is None:
        return [Refused(command.id, command.order, Reason.UNKNOWN_ORDER)]
    assert price_is_valid(order.side, order.type, command.price), command
    remaining = command.quantity - (order.quantity - order.remaining)
    if remaining <= 0:
        return [Refused(command.id, order.id, Reason.QUANTITY_NOT_ABOVE_FILLED)]
    armed = order.id in book.stops
    keeps_priority = armed or (command.price == order.price and remaining <= order.remaining)
    if not keeps_priority:
        reason = obstacle(book, order, command.price)
        if reason is not None:
            return [Refused(command.id, order.id, reason)]
    # Past this line nothing may fail.
    if not keeps_priority:
        book.remove(order)
    elif not armed:
        book.ladder(order.side).reduce(order, order.remaining - remaining)
    order.price, order.quantity = command.price, command.quantity  # type: ignore[misc]
    order.remaining = remaining
    events: list[Event] = [Amended(order.id, order.price, order.quantity, remaining, keeps_priority)]
    if not keeps_priority:
        execute(book, order, order.price, sequence, events)
    return events


def trigger(book: Book, command: Trigger, sequence: int) -> list[Event]:
    """The order is not new: what would reject a new one cancels it."""
    order = book.stops.get(command.order)
    if book.status in CLOSED:
        return [Refused(command.id, command.order, Reason.MARKET_HALTED)]
    if order is None:
        resting = command.order in book.orders
        reason = Reason.ALREADY_TRIGGERED if resting else Reason.UNKNOWN_ORDER
        return [Refused(command.id, command.order, reason)]
    limit = reach(book, order, command.collar_ppm)
    if book.status is MarketStatus.POST_ONLY and opposite(book, order).best_within(limit) is not None:
        return [Refused(command.id, order.id, Reason.MARKET_HALTED)]
    rejection = obstacle(book, order, limit)
    # Past this line nothing may fail.
    book.disarm(order)
    events: list[Event] = [Triggered(order.id, command.price)]
    if rejection is not None:
        events.append(Cancelled(order.id, order.remaining, rejection))
    else:
        execute(book, order, limit, sequence, events)
    return events


def halt(book: Book, command: Halt, sequence: int) -> list[Event]:
    book.status = command.status
    return [StatusChanged(book.instrument, book.status)]


def resume(book: Book, command: Resume, sequence: int) -> list[Event]:
    book.status = MarketStatus.TRADING
    return [StatusChanged(book.instrument, book.status)]


# -- the checks: they read


def opposite(book: Book, order: Order) -> Ladder:
    return book.asks if order.side is Side.BUY else book.bids


def reach(book: Book, order: Order, collar_ppm: int) -> int:
    """The worst price the order may trade at now. The collar is rounded inward, towards the best price."""
    if not order.is_market:
        return order.price
    best = opposite(book, order).best
    if best is None:
        return order.price
    if order.side is Side.BUY:
        return min(order.price, best.price * (PPM + collar_ppm) // PPM)
    return max(order.price, -(-best.price * (PPM - collar_ppm) // PPM))


def obstacle(book: Book, taker: Order, limit: int) -> Reason | None:
    """Why the order may not enter the market now, or None."""
    level = opposite(book, taker).best_within(limit)
    if level is None:
        if taker.is_market:
            return Reason.NO_LIQUIDITY
        return Reason.FOK_UNFILLED if taker.time_in_force is TimeInForce.FOK else None
    if taker.post_only or book.status is MarketStatus.POST_ONLY:
        return Reason.POST_ONLY_WOULD_CROSS
    if taker.time_in_force is TimeInForce.FOK:
        return fill_or_kill_obstacle(book, taker, limit)
    if taker.prevention is SelfTradePrevention.CANCEL_NEWEST and level.first.user == taker.user:
        return Reason.SELF_TRADE
    return None


def fill_or_kill_obstacle(book: Book, taker: Order, limit: int) -> Reason | None:
    missing = taker.remaining
    for level in opposite(book, taker).within(limit):
        for maker in level:
            if maker.user != taker.user:
                missing -= maker.remaining
                if missing <= 0:
                    return None
            elif taker.prevention is not SelfTradePrevention.CANCEL_OLDEST:
                return Reason.SELF_TRADE
    return Reason.FOK_UNFILLED


# -- the changes: nothing here may fail


def execute(book: Book, taker: Order, limit: int, sequence: int, events: list[Event]) -> None:
    """Match an order that is in no queue as far as `limit`, and put the rest where it belongs."""
    makers = opposite(book, taker)
    while taker.remaining:
        level = makers.best_within(limit)
        if level is None:
            settle_rest(book, taker, sequence, events)
            return
        maker = level.first
        if maker.user == taker.user:
            prevent(book, maker, taker, events)
        else:
            trade(book, maker, taker, events)


def trade(book: Book, maker: Order, taker: Order, events: list[Event]) -> None:
    quantity = min(maker.remaining, taker.remaining)
    taker.remaining -= quantity
    left = take_off(book, maker, quantity)
    book.last_trade_number = number = book.last_trade_number + 1
    events.append(
        Traded(
            book.instrument,
            number,
            maker.price,
            quantity,
            maker.id,
            taker.id,
            taker.side,
            left,
            taker.remaining,
        )
    )


def prevent(book: Book, maker: Order, taker: Order, events: list[Event]) -> None:
    """Two orders of one user meet; at least one of them loses lots, so matching comes to an end."""
    mode = taker.prevention
    if mode is SelfTradePrevention.DECREMENT:
        decrement(book, maker, taker, events)
        return
    if mode is not SelfTradePrevention.CANCEL_NEWEST:
        book.remove(maker)
        events.append(Cancelled(maker.id, maker.remaining, Reason.SELF_TRADE))
    if mode is not SelfTradePrevention.CANCEL_OLDEST:
        events.append(Cancelled(taker.id, taker.remaining, Reason.SELF_TRADE))
        taker.remaining = 0


def decrement(book: Book, maker: Order, taker: Order, events: list[Event]) -> None:
    quantity = min(maker.remaining, taker.remaining)
    taker.remaining -= quantity
    left = take_off(book, maker, quantity)
    events.append(Decremented(maker.id, quantity, left))
    events.append(Decremented(taker.id, quantity, taker.remaining))
    if not left:
        events.append(Cancelled(maker.id, 0, Reason.SELF_TRADE))
    if not taker.remaining:
        events.append(Cancelled(taker.id, 0, Reason.SELF_TRADE))


def take_off(book: Book, maker: Order, quantity: int) -> int:
    """Take lots off a resting order, and the order out when none are left; gives what is left."""
    if quantity == maker.remaining:
        book.remove(maker)
        maker.remaining = 0
    else:
        book.ladder(maker.side).reduce(maker, quantity)
    return maker.remaining


def settle_rest(book: Book, order: Order, sequence: int, events: list[Event]) -> None:
    assert order.time_in_force is not TimeInForce.FOK, order
    if order.is_market:
        events.append(Cancelled(order.id, order.remaining, Reason.MARKET_REST))
    elif order.time_in_force is TimeInForce.IOC:
        events.append(Cancelled(order.id, order.remaining, Reason.IOC_REST))
    else:
        order.priority = sequence
        book.rest(order)
        events.append(Opened(order.id, order.remaining, sequence))


def withdraw(book: Book, order: Order, reason: Reason) -> Cancelled:
    """Take a resting order or an armed stop out."""
    if order.id in book.stops:
        book.disarm(order)
    else:
        book.remove(order)
    return Cancelled(order.id, order.remaining, reason)
