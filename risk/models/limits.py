"""What an operator lets people do: limits, blocks, and the dead-man switch that people set themselves.

`risk_revision` counts the changes of limits and blocks (triggers in `migrations/sql/limits.sql`), so that a
process with a copy knows within a moment that it is old (docs/decisions/006).
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

_PLACES = {"max_digits": 36, "decimal_places": 18, "null": True, "blank": True}


def _amount(help_text: str) -> Any:
    return models.DecimalField(help_text=help_text, **_PLACES)  # type: ignore[arg-type]


class Limit(models.Model):
    """Ceilings for a user, for each user of an institution, or for all users; in one market or in all.

    What is left empty sets no ceiling. Of several that apply, the closest to the user decides, ceiling by
    ceiling: a user's before the institution's before all users', and of these a market's before all markets'.
    Ceilings that count different things hold side by side: open orders in one market and in all, what was
    traded in one market and in all of a currency.

    A row is a version: of those with the same scope the latest whose time has come is in force (of two of the same
    moment, the one written later). A version without any ceiling ends the limit.
    """

    institution = models.ForeignKey(
        "members.Institution", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    user = models.ForeignKey(
        "members.User", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    symbol = models.CharField(max_length=41, blank=True, help_text="such as BTC/USDT; empty: all markets")
    currency = models.CharField(
        max_length=20, blank=True, help_text="without a symbol: the quote asset that notionals are in"
    )
    max_open_orders = models.PositiveIntegerField(null=True, blank=True, help_text="at a time")
    max_order_notional = _amount("price × quantity of one order")
    max_daily_notional = _amount("traded since midnight UTC, with the new order")
    max_position = _amount("base asset owned and on order; needs a symbol")
    price_band = models.DecimalField(
        max_digits=7,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="how far a price may be from the reference price, as a fraction",
    )
    max_risk_score = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="above it (0 to 100) no order is taken"
    )
    effective_from = models.DateTimeField(
        default=timezone.now, db_default=Now(), help_text="UTC; empty: at once"
    )
    updated_at = models.DateTimeField(auto_now=True)
    approval = models.ForeignKey(
        "approvals.Approval",
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        help_text="who asked for it and who approved it",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=True) | Q(institution__isnull=True),
                name="limit_has_one_scope",
                violation_error_message="Name a user or an institution, not both.",
            ),
            models.CheckConstraint(
                condition=Q(symbol="") | Q(currency=""),
                name="limit_has_one_currency",
                violation_error_message="A symbol has its own quote asset: leave currency empty.",
            ),
            models.CheckConstraint(
                condition=~Q(symbol="", currency="")
                | Q(max_order_notional__isnull=True, max_daily_notional__isnull=True),
                name="notional_has_a_currency",
                violation_error_message="A notional needs a symbol or a currency.",
            ),
            models.CheckConstraint(
                condition=~Q(symbol="") | Q(max_position__isnull=True),
                name="position_has_a_symbol",
                violation_error_message="A position needs a symbol.",
            ),
            models.CheckConstraint(
                condition=Q(currency="")
                | Q(max_open_orders__isnull=True, price_band__isnull=True, max_risk_score__isnull=True),
                name="currency_is_for_notionals",
                violation_error_message="With a currency only notionals can be limited.",
            ),
            models.CheckConstraint(
                condition=(Q(max_order_notional__isnull=True) | Q(max_order_notional__gte=0))
                & (Q(max_daily_notional__isnull=True) | Q(max_daily_notional__gte=0))
                & (Q(max_position__isnull=True) | Q(max_position__gte=0))
                & (Q(price_band__isnull=True) | Q(price_band__gt=0)),
                name="limits_are_not_negative",
                violation_error_message="A limit is not negative, and a price band above zero.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user or self.institution or _('everybody')} {self.symbol or self.currency}".strip()


class Block(models.Model):
    """A user or an institution that may place no order; what they had open is cancelled. Never deleted."""

    institution = models.ForeignKey(
        "members.Institution", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    user = models.ForeignKey(
        "members.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    reason = models.CharField(max_length=500)
    by = models.CharField(max_length=254, help_text="who did it")
    created_at = models.DateTimeField(default=timezone.now)
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.CharField(max_length=254, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=True) ^ Q(institution__isnull=True), name="block_has_one_target"
            ),
            models.UniqueConstraint(
                fields=["user", "institution"],
                condition=Q(lifted_at__isnull=True),
                name="one_block_at_a_time",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return str(self.user or self.institution)


class DeadMan(models.Model):
    """A user's wish that all their open orders go at `deadline` unless they renew it."""

    user = models.OneToOneField("members.User", on_delete=models.CASCADE, primary_key=True, related_name="+")
    deadline = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "dead-man switch"
        verbose_name_plural = "dead-man switches"

    def __str__(self) -> str:
        return f"{self.user_id} {self.deadline}"


class Revision(models.Model):
    """One row: how often limits and blocks have changed."""

    number = models.BigIntegerField()

    def __str__(self) -> str:
        return str(self.number)
