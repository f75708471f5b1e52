"""What holds for any sequence of commands; hypothesis looks for the shortest one that breaks it."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.core.commands import Amend, AnyCommand, Cancel, CancelAll, Halt, Place, Resume, Trigger
from matching.core.engine import Engine
from matching.core.events import Amended, Cancelled, Decremented, Event, Opened, Rejected, Traded
from matching.core.invariants import check
from matching.core.state import export, restore, state_hash
from matching.core.types import MarketStatus, OrderType, SelfTradePrevention, Side, TimeInForce

thoroughly = settings(max_examples=100, deadline=None)
COLLARS = st.sampled_from((0, 50_000, 100_000))
USERS = ["ann", "bob", "cat"]
prices = st.integers(8, 14)
quantities = st.integers(1, 9)
orders = st.integers(0, 25).map(str)  # a command may name an order that never was, or is gone


# Ids are given by position in `numbered`: strategies are built once, which is what makes this fast.
head = {"id": st.just(""), "instrument": st.just(1)}
places = st.builds(
    Place,
    **head,
    user=st.sampled_from(USERS),
    side=st.sampled_from(Side),
    type=st.sampled_from(OrderType),
    time_in_force=st.sampled_from(TimeInForce),
    price=prices,
    quantity=quantities,
    stop_price=st.just(10),
    post_only=st.booleans(),
    prevention=st.sampled_from(SelfTradePrevention),
    collar_ppm=COLLARS,
)
others = st.one_of(
    st.builds(Cancel, **head, order=orders),
    st.builds(CancelAll, **head, user=st.sampled_from(USERS)),
    st.builds(Amend, **head, order=orders, price=prices, quantity=quantities),
    st.builds(Trigger, **head, order=orders, price=prices, collar_ppm=COLLARS),
    st.builds(Halt, **head, status=st.sampled_from(MarketStatus)),
    st.builds(Resume, **head),
)


def numbered(commands: list[AnyCommand]) -> list[AnyCommand]:
    return [msgspec.structs.replace(command, id=str(number)) for number, command in enumerate(commands)]


sessions = st.lists(places | places | others, max_size=25).map(numbered)


def play(commands: list[AnyCommand]) -> tuple[Engine, list[list[Event]]]:
    engine = Engine()
    book = engine.add(1)
    history = []
    for sequence, command in enumerate(commands, 1):
        history.append(engine.apply(command, sequence))
        check(book)
    return engine, history


@given(sessions)
@thoroughly
def test_the_same_commands_give_the_same_events_and_state(commands: list[AnyCommand]) -> None:
    (one, history), (other, again) = play(commands), play(commands)
    assert history == again
    assert state_hash(one) == state_hash(other)


@given(sessions)
@thoroughly
def test_no_lot_appears_or_disappears(commands: list[AnyCommand]) -> None:
    """Of every order: asked for = filled + decremented + cancelled + still in the book."""
    engine, history = play(commands)
    book = engine.books[1]
    asked = {command.id: command.quantity for command in commands if isinstance(command, Place)}
    gone: Counter[str] = Counter()
    for events in history:
        for event in events:
            if isinstance(event, Traded):
                gone.update({event.maker: event.quantity, event.taker: event.quantity})
            elif isinstance(event, Decremented):
                gone[event.order] += event.quantity
            elif isinstance(event, Cancelled):
                gone[event.order] += event.remaining
            elif isinstance(event, Rejected):
                gone[event.order] += asked[event.order]
            elif isinstance(event, Amended):
                asked[event.order] = event.quantity
    for order, quantity in asked.items():
        left = book.find(order)
        assert quantity == gone[order] + (left.remaining if left else 0), order


@given(sessions)
@thoroughly
def test_trades_are_numbered_and_never_between_one_users_orders(commands: list[AnyCommand]) -> None:
    engine, history = play(commands)
    users = {command.id: command.user for command in commands if isinstance(command, Place)}
    trades = [event for events in history for event in events if isinstance(event, Traded)]
    assert [trade.number for trade in trades] == list(range(1, len(trades) + 1))
    assert all(users[trade.maker] != users[trade.taker] for trade in trades)
    assert engine.books[1].last_trade_number == len(trades)


@given(sessions)
@thoroughly
def test_a_place_in_the_queue_has_the_commands_sequence(commands: list[AnyCommand]) -> None:
    _, history = play(commands)
    for sequence, events in enumerate(history, 1):
        assert all(event.priority == sequence for event in events if isinstance(event, Opened))


@given(sessions, st.integers(0, 25))
@thoroughly
def test_a_restored_engine_goes_on_as_if_nothing_had_happened(commands: list[AnyCommand], cut: int) -> None:
    cut = min(cut, len(commands))
    engine, history = play(commands)
    before, _ = play(commands[:cut])
    after = restore(export(before))
    assert [after.apply(command, cut + n) for n, command in enumerate(commands[cut:], 1)] == history[cut:]
    assert state_hash(after) == state_hash(engine)


@given(sessions)
@thoroughly
def test_what_is_rejected_or_refused_changes_nothing(commands: list[AnyCommand]) -> None:
    engine = Engine()
    engine.add(1)
    for sequence, command in enumerate(commands, 1):
        before = state_hash(engine)
        events = engine.apply(command, sequence)
        if len(events) == 1 and type(events[0]).__name__ in {"Rejected", "Refused"}:
            assert state_hash(engine) == before
