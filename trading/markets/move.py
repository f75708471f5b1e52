"""Moving a market to another symbol group, with its orders, while both groups trade.

    lock both checkpoints → raise both epochs → Release in one journal, Adopt in the other → the market's row → commit

One transaction does it (docs/decisions/014), and no matcher has to help: both are fenced off by the new epochs. What
they settle after it fails, they throw their books away and read them again, one without the market and one with it. So
it makes no difference where a process is killed, and it works while a matcher is down.

No order changes. Priorities in a book are counted by its group's sequence plus the market's `place_offset`, and the
new offset makes the count go on where it was. Trades go on with the next number.

A command for the market that has not been applied is still pending, and is now its new group's. One that a process
sends to the old group, because it has not heard of the move, is passed on by the matcher there, or by the sweep.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import connection, transaction
from django.utils.translation import gettext as text

from exchange.base.ids import uuid7
from exchange.platform.audit import log as audit
from matching.codec import Envelope, decode_envelope, encode
from matching.core.commands import Adopt, Release
from matching.models import Checkpoint, SymbolGroup
from trading.markets.status_control import markets_of
from trading.models import Instrument, Move, Order, PendingCommand
from trading.orders.dispatch import Dispatcher
from trading.orders.operator_commands import checked_reason
from trading.reference.catalog import catalog

WAIT_SECONDS = 10.0
LOOK_SECONDS = 0.05

_CHECKPOINTS = (
    "SELECT group_id, epoch, sequence FROM matching_checkpoint WHERE group_id = ANY (%s) ORDER BY group_id"
)
_NEW_CHECKPOINTS = """
    INSERT INTO matching_checkpoint (group_id, epoch, sequence, position, updated_at)
    SELECT name, 0, 0, '0-0', now() FROM unnest(%s::text[]) AS name ORDER BY name ON CONFLICT DO NOTHING"""
_FENCE = """
    UPDATE matching_checkpoint SET epoch = epoch + 1, sequence = sequence + 1, updated_at = now()
     WHERE group_id = %s RETURNING epoch, sequence"""
_JOURNAL = """
    INSERT INTO matching_journalbatch (group_id, epoch, first_sequence, last_sequence, commands, created_at)
    VALUES (%s, %s, %s, %s, %s, now())"""

_dispatcher = Dispatcher()


class CannotMove(Exception):
    """The text says why."""


@dataclass(frozen=True, slots=True)
class Moved:
    """`orders` are those that were open, with their priorities; `commands` those that were on their way."""

    symbol: str
    from_group: str
    to_group: str
    orders: int
    commands: int
    trace_id: str
    epoch: int  # of the new group, since


def move(symbol: str, to: str, *, reason: str, by: str, trace_id: str = "") -> Moved:
    """Give a market to another group; a transaction must be open, and it should do little else, as both groups wait
    for its end. Raises CannotMove, status_control.UnknownMarket, and ValueError without a reason.
    """
    assert connection.in_atomic_block, "all of a move commits together"
    reason, trace_id = checked_reason(reason), trace_id or uuid7()
    (market,) = markets_of(symbol)
    check_target(market.symbol, market.group, to)
    with connection.cursor() as cursor:
        cursor.execute(_NEW_CHECKPOINTS, [[market.group, to]])
        cursor.execute(f"{_CHECKPOINTS} FOR UPDATE", [[market.group, to]])
        instrument = Instrument.objects.select_for_update(no_key=True).get(pk=market.id)
        if instrument.group_id != market.group:
            raise CannotMove(
                text("%(symbol)s has just been moved to %(group)s: look again")
                % {"symbol": market.symbol, "group": instrument.group_id}
            )
        release = Release(uuid7(), market.id, to)
        released, _ = _journal(cursor, market.group, release, trace_id)
        priority = instrument.place_offset + released
        adopt = Adopt(uuid7(), market.id, market.group, priority)
        adopted, epoch = _journal(cursor, to, adopt, trace_id)
    Move.objects.create(
        instrument=instrument,
        from_group_id=market.group,
        to_group_id=to,
        released=released,
        adopted=adopted,
        reason=reason,
        by=by,
        trace_id=trace_id,
    )
    Instrument.objects.filter(pk=market.id).update(group_id=to, place_offset=priority - adopted)
    commands = _relabel(market.id, market.group, to)
    audit.record(
        action="market.move",
        resource=f"market/{market.symbol}",
        actor=by,
        old={"group": market.group},
        new={"group": to, "reason": reason},
        trace_id=trace_id,
    )
    notices = {market.group: [Envelope(release, trace_id)], to: [Envelope(adopt, trace_id)]}
    transaction.on_commit(lambda: _wake_matchers(notices))
    return Moved(market.symbol, market.group, to, open_orders(market.id), commands, trace_id, epoch)


def check_target(symbol: str, group: str, to: str) -> None:
    """Raises CannotMove if there is no such group, or the market is in it."""
    groups = list(SymbolGroup.objects.order_by("name").values_list("name", flat=True))
    if to not in groups:
        raise CannotMove(f"no group {to!r}; there are: {', '.join(groups)}")
    if to == group:
        raise CannotMove(text("%(symbol)s is in %(group)s already") % {"symbol": symbol, "group": to})


def open_orders(instrument: int) -> int:
    return Order.objects.filter(instrument_id=instrument, closed_at__isnull=True).count()


def wait(moved: Moved, seconds: float = WAIT_SECONDS) -> bool:
    """After the commit: True when the new group's matcher has taken the market over. False if it does not come: is
    there one?"""
    until = time.monotonic() + seconds
    while True:
        if Checkpoint.objects.get(group_id=moved.to_group).epoch > moved.epoch:
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(LOOK_SECONDS)


def _journal(cursor: Any, group: str, command: Release | Adopt, trace_id: str) -> tuple[int, int]:
    """The group's next command, under a new epoch; its sequence, and the epoch."""
    cursor.execute(_FENCE, [group])
    epoch, sequence = cursor.fetchone()
    batch = psycopg.Binary(encode([Envelope(command, trace_id)]))
    cursor.execute(_JOURNAL, [group, epoch, sequence, sequence, batch])
    return sequence, epoch


def _relabel(instrument: int, group: str, to: str) -> int:
    """The commands about the market that wait in its old group's inbox; how many."""
    rows = PendingCommand.objects.filter(group=group).values_list("pk", "envelope")
    theirs = [pk for pk, envelope in rows if decode_envelope(envelope).command.instrument == instrument]
    return PendingCommand.objects.filter(pk__in=theirs).update(group=to)


def _wake_matchers(notices: dict[str, list[Envelope]]) -> None:
    """Both matchers look into PostgreSQL now, and not only in a second."""
    catalog.clear_cache()
    _dispatcher.send(notices)
