"""What surveillance keeps: the orders and trades of the past days, who belongs together, and thresholds.

The windows (`SeenTrade`, `ShownOrder`) are filled from the event stream and pruned by time. They have no foreign keys
in the database, as all hot tables.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from risk.detectors import registry
from risk.models.cases import Severity

_AMOUNT = {"max_digits": 36, "decimal_places": 18}


def abuse_kinds() -> list[tuple[str, Any]]:
    """Each kind with its name for people. Migrations name this function, so a new detector needs none."""
    return [(kind, gettext_lazy(kind.replace("_", " ").lower())) for kind in registry.KINDS]


class SeenTrade(models.Model):
    id = models.UUIDField(primary_key=True, verbose_name="trade")
    symbol = models.CharField(max_length=41)
    at = models.DateTimeField()
    price = models.DecimalField(**_AMOUNT)  # type: ignore[arg-type]
    quantity = models.DecimalField(**_AMOUNT)  # type: ignore[arg-type]
    buyer_id = models.UUIDField()
    seller_id = models.UUIDField()
    buyer_order_id = models.UUIDField()
    seller_order_id = models.UUIDField()
    buyer_is_maker = models.BooleanField()

    class Meta:
        indexes = [
            models.Index(fields=["symbol", "at"], name="seen_trade_window"),
            models.Index(fields=["at"], name="seen_trade_age"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class ShownOrder(models.Model):
    """An order as the book showed it, at one price; `leg` counts the prices it stood at (docs/decisions/024)."""

    id = models.BigAutoField(primary_key=True)
    order_id = models.UUIDField()
    leg = models.PositiveSmallIntegerField()
    user_id = models.UUIDField()
    symbol = models.CharField(max_length=41)
    side = models.CharField(max_length=4)
    price = models.DecimalField(**_AMOUNT)  # type: ignore[arg-type]
    quantity = models.DecimalField(**_AMOUNT)  # type: ignore[arg-type]
    filled_before = models.DecimalField(help_text="of the order, when this began", **_AMOUNT)  # type: ignore[arg-type]
    filled = models.DecimalField(**_AMOUNT)  # type: ignore[arg-type]
    withdrawn = models.DecimalField(help_text="by its owner, when this ended", **_AMOUNT)  # type: ignore[arg-type]
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["symbol", "closed_at"], name="shown_order_window"),
            models.Index(fields=["closed_at"], name="shown_order_age"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["order_id", "leg"], name="one_row_a_leg"),
        ]

    def __str__(self) -> str:
        return f"{self.order_id} {self.leg}"


class OwnerLink(models.Model):
    """Accounts with the same key belong to one beneficial owner: a household, a company and its owner …"""

    user = models.OneToOneField(
        "members.User", on_delete=models.CASCADE, primary_key=True, related_name="owner_link"
    )
    owner_key = models.CharField(max_length=100, db_index=True, help_text="the same for all of one owner")
    note = models.CharField(max_length=200, blank=True, help_text="how it is known")

    class Meta:
        constraints = [models.CheckConstraint(condition=~models.Q(owner_key=""), name="owner_has_a_key")]

    def __str__(self) -> str:
        return self.owner_key


class SurveillanceRule(models.Model):
    """How one kind of abuse is looked for, among an institution's users or all users.

    An institution's rule stands in place of the general one of its kind as a whole; without either the product's
    own thresholds hold (`risk.detectors.registry`).
    """

    institution = models.ForeignKey(
        "members.Institution", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    kind = models.CharField(max_length=20, choices=abuse_kinds)
    enabled = models.BooleanField(default=True)
    severity = models.PositiveSmallIntegerField(choices=Severity.choices, default=Severity.HIGH)
    thresholds = models.JSONField(default=dict, blank=True, help_text="those that differ from our own")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["institution", "kind"],
                name="one_rule_a_kind",
                nulls_distinct=False,
                violation_error_message="There is a rule for this kind already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.institution or _('everybody')}: {self.get_kind_display()}"

    def clean(self) -> None:
        try:
            registry.parse(self.kind, self.thresholds)
        except ValueError as error:
            raise ValidationError({"thresholds": str(error)}) from None


class SurveillanceCursor(models.Model):
    """Until when a job has looked at a market. Its row's lock keeps two workers from the same work."""

    symbol = models.CharField(max_length=41)
    job = models.CharField(max_length=10)
    looked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["symbol", "job"], name="one_cursor_a_job")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.job}"


class RaisedFinding(models.Model):
    """What has been raised already, so that a closed case is not opened again by what it was closed over."""

    subject = models.CharField(max_length=150, primary_key=True)
    until = models.DateTimeField()
    rows = models.PositiveIntegerField()
    raised_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.subject

    def covers(self, until: Any, rows: int) -> bool:
        return until <= self.until and rows <= self.rows
