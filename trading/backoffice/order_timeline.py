"""An order's life for operators: who asked for what from where, what came of it, and what was booked for it.

Four records tell of it, each in its own way: the order's row, the audit log (who, address), the journal of its group
(the settlement that a command was applied in) and the outbox (what others were told). They are found by time: their
ids ascend with it. Of a fill only the order's own side is shown, and of its postings those of whoever may be seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from exchange.base import ids
from exchange.base.decimals import plain
from exchange.platform.audit.log import ORDERS
from exchange.platform.audit.models import Record
from exchange.platform.events.models import OutboxEvent
from exchange.platform.members.models import User
from matching.models import JournalBatch
from trading.backoffice.order_search import fills
from trading.models import Order, PendingCommand, Trade

MOST_FILLS = 100
MOST_RECORDS = 2_000  # of its user, while it lived
MOST_MOMENTS = 12  # that the journal and the outbox are looked through at
NEAR_BATCHES = 50  # of the journal, around a moment
NEAR_EVENTS = 5_000  # of the outbox, after one
SLACK = timedelta(seconds=2)

_POSTINGS = """
    SELECT p.transaction_id, p.account_id, a.kind, u.email, s.code, p.amount
      FROM unnest(%s::uuid[], %s::uuid[]) AS span (low, high)
      JOIN trading_posting p ON p.id > span.low AND p.id <= span.high
      JOIN trading_account a ON a.id = p.account_id
      JOIN trading_asset s ON s.id = p.asset_id
      LEFT JOIN members_user u ON u.id = a.user_id
     WHERE %s::uuid IS NULL OR a.institution_id = %s
     ORDER BY p.id"""


@dataclass(frozen=True)
class Step:
    """`source` is the record that tells of it; `page` an address in the admin as (name, key)."""

    at: datetime
    source: str
    what: str
    detail: str = ""
    who: str = ""
    address: str = ""
    trace_id: str = ""
    page: tuple[str, Any] | None = None

    @property
    def link(self) -> str:
        return reverse(f"admin:{self.page[0]}_change", args=[self.page[1]]) if self.page else ""


@dataclass(frozen=True)
class Fill:
    trade: Trade
    role: str  # maker or taker
    price: str
    quantity: str
    fee: str


@dataclass(frozen=True)
class Entry:
    transaction: UUID
    account: int
    owner: str
    asset: str
    amount: str


@dataclass(frozen=True)
class Life:
    order: Order
    steps: list[Step]
    fills: list[Fill]
    more_fills: bool
    entries: list[Entry]
    held: str
    hold_asset: str
    pending: list[PendingCommand] = field(default_factory=list)


def build(order: Order, institution: UUID | None) -> Life:
    """`institution` is that of whoever looks; None for the platform's staff."""
    trades = list(Trade.objects.filter(fills(order)).order_by("id")[: MOST_FILLS + 1])
    shown = trades[:MOST_FILLS]
    moments = _moments(order, shown)
    steps = [
        *_own(order),
        *_asked(order, moments),
        *_traded(order, shown),
        *_settled(order, moments),
        *_told(order, moments),
    ]
    return Life(
        order=order,
        steps=sorted(steps, key=lambda step: step.at),
        fills=[_fill(order, trade) for trade in shown],
        more_fills=len(trades) > MOST_FILLS,
        entries=entries([trade.pk for trade in shown], institution),
        held=plain(order.held),
        hold_asset=order.hold_account.asset.code,
        pending=list(PendingCommand.objects.filter(order_id=order.pk).order_by("id")),
    )


def entries(transactions: Iterable[UUID], institution: UUID | None) -> list[Entry]:
    """The postings of those transactions; those of one institution, if one is given."""
    lows = [str(each) for each in transactions]
    highs = [ids.part(each, 255) for each in lows]
    with connection.cursor() as cursor:
        cursor.execute(_POSTINGS, [lows, highs, institution, institution])
        return [
            Entry(
                transaction, account, email or _(kind), asset, f"{'+' if amount > 0 else ''}{plain(amount)}"
            )
            for transaction, account, kind, email, asset, amount in cursor.fetchall()
        ]


@dataclass(frozen=True)
class Side:
    name: str
    user: str
    order: UUID | None
    fee: str
    asset: str


def sides(trade: Trade, institution: UUID | None) -> dict[str, Any]:
    """A trade's two sides, without who is on the other where that is another institution's user; what was booked."""
    found = User.objects.in_bulk([trade.buyer_id, trade.seller_id])
    base, quote = trade.instrument.base.code, trade.instrument.quote.code
    both = (
        (_("Buyer"), trade.buyer_id, trade.buyer_order_id, trade.buyer_fee, base),
        (_("Seller"), trade.seller_id, trade.seller_order_id, trade.seller_fee, quote),
    )
    told = []
    for name, user_id, order_id, fee, asset in both:
        user = found.get(user_id)
        if institution is None or (user is not None and user.institution_id == institution):
            told.append(Side(name, str(user or user_id), order_id, plain(fee), asset))
        else:
            told.append(Side(name, _("another institution's"), None, "", ""))
    return {"sides": told, "entries": entries([trade.pk], institution)}


def _moments(order: Order, trades: list[Trade]) -> list[datetime]:
    """When something happened to it, the first and the last of them."""
    known = {order.created_at, order.triggered_at, order.updated_at, order.closed_at}
    known |= {trade.executed_at for trade in trades}
    found = sorted(moment for moment in known if moment is not None)
    half = MOST_MOMENTS // 2
    return found if len(found) <= MOST_MOMENTS else [*found[:half], *found[-half:]]


def _own(order: Order) -> list[Step]:
    taken = Step(order.created_at, "order", _("Accepted"), _terms(order), trace_id=order.trace_id)
    steps = [taken]
    if order.triggered_at is not None:
        price = plain(order.trigger_price) if order.trigger_price is not None else ""
        steps.append(Step(order.triggered_at, "order", _("Triggered"), price))
    if order.closed_at is not None:
        steps.append(Step(order.closed_at, "order", order.get_status_display(), order.reason))
    return steps


def _terms(order: Order) -> str:
    price = "" if order.price is None else f" @ {plain(order.price)}"
    terms = f"{order.get_side_display()} {plain(order.quantity)} {order.instrument.symbol}{price}"
    return f"{terms} {order.get_type_display()} {order.time_in_force}"


def _traded(order: Order, trades: list[Trade]) -> list[Step]:
    return [
        Step(
            trade.executed_at,
            "trade",
            _("Traded"),
            f"{plain(trade.quantity)} @ {plain(trade.price)}",
            page=("trading_trade", trade.pk),
        )
        for trade in trades
    ]


def _asked(order: Order, moments: list[datetime]) -> list[Step]:
    """What people asked for, from the audit log. Commands stand there by batches (`trading.orders.audit`): looked
    at are those that its user alone asked for while it lived, and all near a moment at which something happened to
    it."""
    records = Record.objects.filter(action=ORDERS, institution=order.user.institution)
    end = (order.closed_at or datetime.now(UTC)) + SLACK
    own = records.filter(
        actor=str(order.user_id), id__gte=ids.floor(order.created_at - SLACK), id__lt=ids.floor(end)
    )
    found = {row.pk: row for row in own.order_by("id")[:MOST_RECORDS] if str(order.pk) in row.new}
    for moment in moments:
        span = (ids.floor(moment - SLACK), ids.floor(moment + SLACK))
        near = records.filter(id__range=span, new__contains=str(order.pk))
        found |= {row.pk: row for row in near.order_by("id")[:20]}
    commands = [step for row in found.values() for step in _commands(row, str(order.pk))]
    rows = Record.objects.filter(resource=f"order/{order.pk}").order_by("id")[:100]
    return [*commands, *(_recorded(row) for row in rows)]


def _commands(row: Record, order: str) -> Iterator[Step]:
    """What a batch's record says of one order."""
    for request in json.loads(row.new)["requests"]:
        for what, subject, *rest in request["commands"]:
            if subject == order:
                yield Step(
                    row.at,
                    "audit",
                    what,
                    " ".join(str(each) for each in rest if each not in ("", None)),
                    _who(request["actor"]),
                    request["address"],
                    request["trace_id"],
                    ("audit_record", row.pk),
                )


def _recorded(row: Record) -> Step:
    facts = json.loads(row.new or "{}")
    detail = ", ".join(
        f"{name}: {value}" for name, value in facts.items() if not isinstance(value, dict | list)
    )
    return Step(
        row.at,
        "audit",
        row.action,
        detail[:200],
        _who(row.actor),
        row.address,
        row.trace_id,
        ("audit_record", row.pk),
    )


def _who(actor: str) -> str:
    try:
        return User.objects.values_list("email", flat=True).get(pk=UUID(actor))
    except (ValueError, User.DoesNotExist):
        return actor


def _settled(order: Order, moments: list[datetime]) -> list[Step]:
    """The settlements of its group at those moments: a settlement writes one time into all that it changes."""
    steps = []
    group = order.instrument.group_id
    for moment in moments:
        at = first_after(JournalBatch.objects.all(), moment - SLACK, lambda row: row.created_at)
        near = JournalBatch.objects.defer("commands").filter(
            pk__gte=at, pk__lt=at + NEAR_BATCHES * 100, group_id=group, created_at=moment
        )
        for batch in near[:1]:
            detail = _("%(group)s, epoch %(epoch)s, commands %(first)s to %(last)s") % {
                "group": batch.group_id,
                "epoch": batch.epoch,
                "first": batch.first_sequence,
                "last": batch.last_sequence,
            }
            steps.append(
                Step(
                    batch.created_at,
                    "journal",
                    _("Settled"),
                    detail,
                    page=("matching_journalbatch", batch.pk),
                )
            )
    return steps


def _told(order: Order, moments: list[datetime]) -> list[Step]:
    """Events about it that are still in the outbox."""
    found: dict[int, Step] = {}
    for moment in moments:
        at = first_after(OutboxEvent.objects.all(), moment - SLACK, _told_at)
        near = OutboxEvent.objects.filter(
            pk__gte=at, pk__lt=at + NEAR_EVENTS, message__contains=str(order.pk)
        )
        for event in near.order_by("pk")[:20]:
            head = json.loads(event.message)
            found[event.pk] = Step(
                _told_at(event),
                "outbox",
                f"{event.topic} {head.get('event_type', '')}",
                event.status,
                trace_id=str(head.get("trace_id", "")),
                page=("events_outboxevent", event.pk),
            )
    return list(found.values())


def _told_at(event: OutboxEvent) -> datetime:
    return datetime.fromisoformat(json.loads(event.message)["timestamp"])


def first_after(rows: QuerySet[Any], moment: datetime, of: Callable[[Any], datetime]) -> int:
    """The key from which on rows are no older than that, where integer keys ascend with time: found by halving."""
    ends = rows.order_by("pk").values_list("pk", flat=True)
    low, high = ends.first(), ends.last()
    if low is None or high is None:
        return 0
    while low < high:
        middle = (low + high) // 2
        row = rows.filter(pk__gte=middle).order_by("pk").first()
        if row is None or of(row) >= moment:
            high = middle
        else:
            low = max(middle + 1, row.pk + 1)
    return int(low)


def _fill(order: Order, trade: Trade) -> Fill:
    bought = order.side == "BUY"
    fee, asset = (
        (trade.buyer_fee, trade.instrument.base.code)
        if bought
        else (trade.seller_fee, trade.instrument.quote.code)
    )
    maker = trade.is_buyer_maker == bought
    return Fill(
        trade,
        _("maker") if maker else _("taker"),
        plain(trade.price),
        plain(trade.quantity),
        f"{plain(fee)} {asset}",
    )
