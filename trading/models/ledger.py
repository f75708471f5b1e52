"""Double entry: accounts, transactions and their postings.

A posting adds to an account (positive) or takes from it (negative); the postings of a transaction sum to zero
per asset. Balances are derived: the database itself applies postings and holds to `available` and `held`, and
refuses every other writer (`migrations/sql/ledger.sql`, docs/decisions/002).
"""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.utils import timezone

from exchange.base import ids
from matching.core.scale import trim
from trading.models.fields import AmountField, LooseKey


class Account(models.Model):
    """What one user (or the house of an institution) has of one asset.

    CUSTODY is the contra account of deposits: what the institution owes its users, written as a negative.
    WALLET is that of funds which a bank's own wallet service reserves for orders; where users of several
    institutions trade with each other, one of these goes below zero by what another goes above.
    """

    class Kind(models.TextChoices):
        USER = "USER"
        FEES = "FEES"
        CUSTODY = "CUSTODY"
        WALLET = "WALLET"

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.USER)
    institution = models.ForeignKey("members.Institution", on_delete=models.PROTECT, related_name="accounts")
    user = models.ForeignKey(
        "members.User", on_delete=models.PROTECT, null=True, blank=True, related_name="accounts"
    )
    asset = models.ForeignKey("trading.Asset", on_delete=models.PROTECT, related_name="+")
    available = AmountField(default=Decimal(0))
    held = AmountField(default=Decimal(0))

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "asset"], name="account_of_user", condition=Q(kind="USER")
            ),
            models.UniqueConstraint(
                fields=["institution", "asset", "kind"], name="account_of_house", condition=~Q(kind="USER")
            ),
            models.CheckConstraint(
                condition=Q(kind="USER", user__isnull=False) | (~Q(kind="USER") & Q(user__isnull=True)),
                name="account_has_one_owner",
            ),
            models.CheckConstraint(
                condition=Q(available__gte=0) | Q(kind__in=["CUSTODY", "WALLET"]),
                name="account_available_not_negative",
            ),
            models.CheckConstraint(condition=Q(held__gte=0), name="account_held_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.id}"


class Transaction(models.Model):
    """Append-only. A trade's transaction has the trade's id. Partitioned by month on the id."""

    class Kind(models.TextChoices):
        TRADE = "TRADE"
        DEPOSIT = "DEPOSIT"
        WITHDRAWAL = "WITHDRAWAL"
        ADJUSTMENT = "ADJUSTMENT"
        RESERVE = "RESERVE"
        RELEASE = "RELEASE"

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    trace_id = models.CharField(max_length=64, default="")
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.id}"


class Posting(models.Model):
    """Append-only. The id is the transaction's with an ordinal in its last byte. Partitioned by month on the
    id."""

    id = models.UUIDField(primary_key=True, editable=False)
    transaction = LooseKey("trading.Transaction")
    account = LooseKey("trading.Account")
    asset = LooseKey("trading.Asset")
    amount = AmountField()

    class Meta:
        indexes = [models.Index(fields=["account", "id"], name="posting_account")]

    def __str__(self) -> str:
        return f"{self.account_id} {trim(f'{self.amount:+f}')}"
