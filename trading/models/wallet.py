"""Reservations at a bank's own wallet service (WALLET=http): what we asked it for, and how that stands.

One for each order, under the order's id. What the states mean and how one leads to another is written
in `trading.wallet`.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from trading.models.fields import AmountField, LooseKey


class Reservation(models.Model):
    class State(models.TextChoices):
        RESERVING = "RESERVING"
        HELD = "HELD"
        RELEASING = "RELEASING"
        RELEASED = "RELEASED"
        REFUSED = "REFUSED"

    id = models.UUIDField(primary_key=True, help_text="the order's, and the service's name for it")
    user = LooseKey("members.User")
    asset = LooseKey("trading.Asset")
    account = LooseKey("trading.Account", help_text="the house's WALLET account that its funds come from")
    amount = AmountField()
    surplus = AmountField(null=True, help_text="what goes back; known from RELEASING on")
    state = models.CharField(max_length=10, choices=State.choices, default=State.RESERVING)
    release_id = models.UUIDField(
        null=True, help_text="the ledger transaction that gave it back; none if there never was an order"
    )
    problem = models.CharField(
        max_length=50, default="", blank=True, help_text="why the service would not release it"
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(
                fields=["state", "id"],
                name="reservation_open",
                condition=Q(state__in=["RESERVING", "HELD", "RELEASING"]),
            )
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gt=0) & (Q(surplus=None) | Q(surplus__gte=0, surplus__lte=F("amount"))),
                name="reservation_amounts",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["RELEASING", "RELEASED"], surplus__isnull=False)
                | Q(state__in=["RESERVING", "HELD", "REFUSED"], surplus=None, release_id=None),
                name="reservation_states",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.id}"
