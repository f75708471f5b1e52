"""Deposits and withdrawals as their users asked for them, and how far they have come.

What a user asked for never changes, a closed one not at all, and the states follow one another as `STEPS` says: the
database keeps to it too (`migrations/sql/payments.sql`). From request to end a withdrawal holds its amount, and the
database derives the account's `held` from that as it does for orders.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from exchange.base import ids
from trading.models.fields import AmountField


class DepositState(models.TextChoices):
    REQUESTED = "REQUESTED", _("requested")
    CONFIRMED = "CONFIRMED", _("confirmed")
    REJECTED = "REJECTED", _("rejected")
    CANCELLED = "CANCELLED", _("cancelled")


class WithdrawalState(models.TextChoices):
    REQUESTED = "REQUESTED", _("requested")
    APPROVED = "APPROVED", _("approved")
    SENT = "SENT", _("sent")
    COMPLETED = "COMPLETED", _("completed")
    REJECTED = "REJECTED", _("rejected")
    CANCELLED = "CANCELLED", _("cancelled")
    FAILED = "FAILED", _("failed")


DEPOSIT_STEPS: dict[str, frozenset[str]] = {
    DepositState.REQUESTED: frozenset(
        {DepositState.CONFIRMED, DepositState.REJECTED, DepositState.CANCELLED}
    ),
}
WITHDRAWAL_STEPS: dict[str, frozenset[str]] = {
    WithdrawalState.REQUESTED: frozenset(
        {WithdrawalState.APPROVED, WithdrawalState.REJECTED, WithdrawalState.CANCELLED}
    ),
    WithdrawalState.APPROVED: frozenset({WithdrawalState.SENT, WithdrawalState.REJECTED}),
    WithdrawalState.SENT: frozenset({WithdrawalState.COMPLETED, WithdrawalState.FAILED}),
}
OPEN_WITHDRAWALS = sorted(WITHDRAWAL_STEPS)


def _person(**options: Any) -> Any:
    return models.ForeignKey(
        "members.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+", **options
    )


class Payment(models.Model):
    """What both have in common. `party` is where the money comes from or goes to, sealed with its user's own key
    (`exchange.platform.members.personal_data`). One with `second_person` was above the threshold when it was
    requested: one person asks for its approval, and another approves."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    user = models.ForeignKey(
        "members.User", on_delete=models.PROTECT, db_index=False, related_name="+", verbose_name=_("user")
    )
    asset = models.ForeignKey(
        "trading.Asset", on_delete=models.PROTECT, related_name="+", verbose_name=_("asset")
    )
    amount = AmountField(_("amount"))
    client_reference = models.CharField(_("client's reference"), max_length=100)
    party = models.TextField()
    reference = models.CharField(
        _("reference"), max_length=100, blank=True, help_text=_("the bank's or the chain's own name for it")
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    second_person = models.BooleanField(_("takes two"), default=False)
    asked_by = _person(verbose_name=_("approval asked for by"))
    decided_by = _person(verbose_name=_("decided by"))
    transaction_id = models.UUIDField(
        null=True, blank=True, unique=True, help_text=_("of the ledger, once it is booked")
    )
    trace_id = models.CharField(max_length=64, default="")
    created_at = models.DateTimeField(_("requested at"), default=timezone.now)
    updated_at = models.DateTimeField(_("changed at"), default=timezone.now)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def place(self) -> str:
        """What `party` is bound to."""
        return f"{self._meta.db_table}.party/{self.pk}"


class Deposit(Payment):
    """Money that a user says is on its way; confirmed, it is booked against the house's CUSTODY account."""

    state = models.CharField(
        _("state"), max_length=10, choices=DepositState.choices, default=DepositState.REQUESTED
    )
    account = models.ForeignKey("trading.Account", on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = _("deposit")
        verbose_name_plural = _("deposits")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["user", "id"], name="deposit_user"),
            models.Index(fields=["id"], name="deposit_open", condition=Q(closed_at__isnull=True)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["user", "client_reference"], name="deposit_reference_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="deposit_amount_positive"),
            models.CheckConstraint(
                condition=Q(state="REQUESTED", closed_at__isnull=True)
                | Q(state__in=["CONFIRMED", "REJECTED", "CANCELLED"], closed_at__isnull=False),
                name="deposit_closed_by_its_state",
            ),
            models.CheckConstraint(
                condition=Q(state="CONFIRMED", transaction_id__isnull=False)
                | (~Q(state="CONFIRMED") & Q(transaction_id__isnull=True)),
                name="deposit_booked_if_confirmed",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["CONFIRMED", "REJECTED"])
                | (Q(decided_by__isnull=False) & ~Q(decided_by=F("user"))),
                name="deposit_decided_by_another",
            ),
            models.CheckConstraint(
                condition=~Q(state="CONFIRMED", second_person=True)
                | (Q(asked_by__isnull=False) & ~Q(asked_by=F("decided_by")) & ~Q(asked_by=F("user"))),
                name="deposit_second_person",
            ),
            models.CheckConstraint(
                condition=~Q(state="REJECTED") | ~Q(reason=""), name="deposit_rejected_with_a_reason"
            ),
        ]


class Withdrawal(Payment):
    """Money that a user wants paid out. `held` is what it blocks on `hold_account`: the whole amount until it has
    come to its end. Completed, it is booked against CUSTODY."""

    state = models.CharField(
        _("state"), max_length=10, choices=WithdrawalState.choices, default=WithdrawalState.REQUESTED
    )
    hold_account = models.ForeignKey("trading.Account", on_delete=models.PROTECT, related_name="+")
    held = AmountField(_("held"), default=Decimal(0))
    approved_by = _person(verbose_name=_("approved by"))

    class Meta:
        verbose_name = _("withdrawal")
        verbose_name_plural = _("withdrawals")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["user", "id"], name="withdrawal_user"),
            models.Index(fields=["id"], name="withdrawal_open", condition=Q(closed_at__isnull=True)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["user", "client_reference"], name="withdrawal_reference_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="withdrawal_amount_positive"),
            models.CheckConstraint(
                condition=Q(state__in=["REQUESTED", "APPROVED", "SENT"], closed_at__isnull=True)
                & Q(held=F("amount"))
                | Q(
                    state__in=["COMPLETED", "REJECTED", "CANCELLED", "FAILED"],
                    closed_at__isnull=False,
                    held=0,
                ),
                name="withdrawal_holds_until_closed",
            ),
            models.CheckConstraint(
                condition=Q(state="COMPLETED", transaction_id__isnull=False)
                | (~Q(state="COMPLETED") & Q(transaction_id__isnull=True)),
                name="withdrawal_booked_if_completed",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["APPROVED", "SENT", "COMPLETED", "FAILED"])
                | (Q(approved_by__isnull=False) & ~Q(approved_by=F("user")) & ~Q(decided_by=F("user"))),
                name="withdrawal_approved_by_another",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["APPROVED", "SENT", "COMPLETED", "FAILED"], second_person=True)
                | (Q(asked_by__isnull=False) & ~Q(asked_by=F("approved_by")) & ~Q(asked_by=F("user"))),
                name="withdrawal_second_person",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["REJECTED", "FAILED"])
                | (~Q(reason="") & Q(decided_by__isnull=False) & ~Q(decided_by=F("user"))),
                name="withdrawal_refused_with_a_reason",
            ),
        ]
