"""A dead letter handled again, once its cause is fixed.

The letter is given to the handlers of the group that had set it aside, in this process and in one transaction
with its mark, as its consumer would have done. It is not sent to the topic again, where all groups would have it a
second time, the bank's own too. Later events of its key may have been handled before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from exchange.platform.events import event, exactly_once
from exchange.platform.events.dlq import DeadLetter
from exchange.platform.events.event import Event, Handler, Poison
from exchange.platform.events.retry import database_away


class State(StrEnum):
    WAITING = "waiting"
    HANDLED = "handled"  # meanwhile, or before in another try
    UNREADABLE = "unreadable"  # no envelope: nothing can come of it
    NO_HANDLER = "nobody's"  # no handler of its group takes such events


Handlers = Mapping[str, Mapping[tuple[str, str], Handler]]  # by group


def contents(letter: DeadLetter) -> Event | None:
    """None if it is unreadable."""
    try:
        return event.read(letter.topic, letter.key.encode(), letter.value)
    except Poison:
        return None


def states(
    letters: Iterable[DeadLetter], handlers: Mapping[str, Iterable[tuple[str, str]]]
) -> dict[str, State]:
    """By letter's id. `handlers` are the (topic, event type) that each group wants."""
    found, waiting = {}, []
    for letter in letters:
        event = contents(letter)
        if event is None:
            found[letter.id] = State.UNREADABLE
        elif (letter.topic, event.event_type) not in handlers.get(letter.group, ()):
            found[letter.id] = State.NO_HANDLER
        else:
            waiting.append((letter, event.event_id))
    for group in {letter.group for letter, _ in waiting}:
        done = exactly_once.marked(group, [event_id for letter, event_id in waiting if letter.group == group])
        for letter, event_id in waiting:
            if letter.group == group:
                found[letter.id] = State.HANDLED if event_id in done else State.WAITING
    return found


def replay(letter: DeadLetter, handler: Handler) -> str:
    """Empty, or why it failed again. A database that is away is raised."""
    event = contents(letter)
    assert event is not None, "only what is waiting"
    try:
        exactly_once.handle(letter.group, [(handler, event)])
    except Exception as error:
        if database_away(error):
            raise
        return f"{type(error).__name__}: {error}"
    return ""
