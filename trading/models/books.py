"""What the bank's books leave behind: closed days, and published proofs of what is owed.

A closed day and a published root never change (`migrations/0010_books.py`). A proof's tree is kept so that each
user can be given the way from their own leaf to the root; older trees go when newer ones are published.
"""

from __future__ import annotations

from django.db import models

from trading.models.fields import AmountField, LooseKey
from trading.models.ledger import Account


class EndOfDay(models.Model):
    """A day that is over and whose books are closed: from `starts_at` until before `ends_at`. Days leave no gap."""

    day = models.DateField(primary_key=True)
    starts_at = models.DateTimeField(unique=True)
    ends_at = models.DateTimeField(unique=True)
    closed_at = models.DateTimeField()
    closed_by = models.CharField(max_length=254)
    snapshot = models.TextField(
        help_text="PostgreSQL's snapshot of the closing: what came later is not in it"
    )
    digest = models.CharField(max_length=64, help_text="SHA-256 of the canonical report")
    document = models.TextField(help_text="the signed report, as it was written to its file")

    class Meta:
        verbose_name = "closed day"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at"))
                & models.Q(closed_at__gt=models.F("ends_at")),
                name="end_of_day_was_over",
            )
        ]

    def __str__(self) -> str:
        return self.day.isoformat()


class DayTotal(models.Model):
    """What a closed day moved on accounts of one kind, and what they had at its end.

    `debits` and `credits` are sums of the day's negative and positive postings, both written without a sign.
    """

    day = models.ForeignKey(EndOfDay, on_delete=models.PROTECT, related_name="totals")
    institution = models.ForeignKey("members.Institution", on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10, choices=Account.Kind.choices)
    asset = models.ForeignKey("trading.Asset", on_delete=models.PROTECT, related_name="+")
    postings = models.BigIntegerField()
    debits = AmountField()
    credits = AmountField()
    balance = AmountField()

    class Meta:
        verbose_name = "total of a closed day"
        verbose_name_plural = "totals of closed days"
        constraints = [
            models.UniqueConstraint(fields=["day", "institution", "kind", "asset"], name="day_total_once")
        ]

    def __str__(self) -> str:
        return f"{self.day_id} {self.kind} {self.balance:f}"


class SolvencyProof(models.Model):
    """A Merkle-sum tree of what one institution owed its users of one asset; see `trading.books.merkle`."""

    id = models.UUIDField(primary_key=True, editable=False)
    institution = models.ForeignKey("members.Institution", on_delete=models.PROTECT, related_name="+")
    asset = models.ForeignKey("trading.Asset", on_delete=models.PROTECT, related_name="+")
    taken_at = models.DateTimeField()
    height = models.PositiveSmallIntegerField()
    total = AmountField()
    root = models.CharField(max_length=64)
    document = models.TextField(help_text="the signed root, as it was published")

    class Meta:
        verbose_name = "proof of solvency"
        verbose_name_plural = "proofs of solvency"
        indexes = [models.Index(fields=["institution", "asset", "-taken_at"], name="solvency_latest")]

    def __str__(self) -> str:
        return f"{self.asset_id} {self.root[:12]}"


class SolvencySecret(models.Model):
    """What blinds a proof's leaves. It goes together with its tree."""

    proof = models.OneToOneField(
        SolvencyProof, on_delete=models.CASCADE, primary_key=True, related_name="secret"
    )
    value = models.BinaryField()

    def __str__(self) -> str:
        return f"secret of {self.proof_id}"


class SolvencyLevel(models.Model):
    """The nodes of one level, leaves at 0, one after another in `merkle.WIDTH` bytes each."""

    proof = models.ForeignKey(SolvencyProof, on_delete=models.CASCADE, related_name="levels")
    level = models.PositiveSmallIntegerField()
    nodes = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["proof", "level"], name="solvency_level_once")]

    def __str__(self) -> str:
        return f"level {self.level} of {self.proof_id}"


class SolvencyLeaf(models.Model):
    """A part of a user's balance: where it stands among the leaves. `amount` is in the asset's smallest unit."""

    proof = models.ForeignKey(SolvencyProof, on_delete=models.CASCADE, related_name="leaves", db_index=False)
    user = LooseKey("members.User")
    part = models.PositiveSmallIntegerField()
    position = models.PositiveIntegerField()
    amount = models.DecimalField(max_digits=36, decimal_places=0)

    class Meta:
        verbose_name_plural = "solvency leaves"
        constraints = [
            models.UniqueConstraint(fields=["proof", "user", "part"], name="solvency_part_once"),
            models.UniqueConstraint(fields=["proof", "position"], name="solvency_position_once"),
        ]

    def __str__(self) -> str:
        return f"leaf {self.position} of {self.proof_id}"
