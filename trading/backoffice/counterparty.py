"""Trades and ledger transactions between users of two institutions, as the staff of one may see them.

A trade has two sides. The staff of an institution see their own: whose the other was, under which order and for
what fee is not theirs to know. A transaction shows them the postings to their own accounts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db.models import Exists, Func, OuterRef, Q, QuerySet, UUIDField
from django.db.models.query import ModelIterable

from trading.models import Posting, Trade

SIDES = ("buyer", "seller")


def redact_counterparty(trades: QuerySet[Trade], institution: UUID) -> QuerySet[Trade]:
    """The same trades, each without what belongs to a user of another institution.

    Of model instances only: `values()` and the like read columns, so they are not for the staff's eyes.
    """

    class RedactedTrades(ModelIterable):
        def __iter__(self) -> Iterator[Any]:
            for trade in super().__iter__():
                yield _without_other_side(trade, institution)

    trades = trades.select_related(*SIDES)
    trades._iterable_class = RedactedTrades
    return trades


def _without_other_side(trade: Trade, institution: UUID) -> Trade:
    for side in SIDES:
        user = getattr(trade, side)
        if user is not None and user.institution_id != institution:
            setattr(trade, side, None)
            setattr(trade, f"{side}_order_id", None)
            setattr(trade, f"{side}_fee", None)
    return trade


def transactions_of(institution: UUID) -> Q:
    """Those with a posting to an account of the institution; postings are found by their range of ids."""
    last = Func(
        OuterRef("pk"), template="(left(%(expressions)s::text, 34) || 'ff')::uuid", output_field=UUIDField()
    )
    postings = Posting.objects.filter(id__gte=OuterRef("pk"), id__lte=last, account__institution=institution)
    return Q(Exists(postings))
