"""Know your customer: who a user is, by which documents, and what they may do for it.

Personal data is sealed (`exchange.base.encryption`). An identity number is found again by its keyed digest
alone, and is there once in an institution.
"""

from __future__ import annotations

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from exchange.base import ids
from exchange.base.encryption import EncryptedTextField
from exchange.platform.kyc.levels import HIGHEST
from exchange.platform.members.models import Institution, User


class ProfileState(models.TextChoices):
    UNVERIFIED = "UNVERIFIED", _("not verified")
    IN_REVIEW = "IN_REVIEW", _("in review")
    VERIFIED = "VERIFIED", _("verified")
    REFUSED = "REFUSED", _("refused")
    ERASED = "ERASED", _("erased")


class DocumentKind(models.TextChoices):
    IDENTITY = "IDENTITY", _("identity document")
    ADDRESS = "ADDRESS", _("proof of address")
    SELFIE = "SELFIE", _("photograph")
    INCOME = "INCOME", _("source of funds")
    OTHER = "OTHER", _("other")


class DocumentState(models.TextChoices):
    REQUESTED = "REQUESTED", _("asked for")
    RECEIVED = "RECEIVED", _("received")
    ACCEPTED = "ACCEPTED", _("accepted")
    REJECTED = "REJECTED", _("rejected")


DOCUMENT_STEPS: dict[str, frozenset[str]] = {
    DocumentState.REQUESTED: frozenset({DocumentState.RECEIVED, DocumentState.REJECTED}),
    DocumentState.RECEIVED: frozenset({DocumentState.ACCEPTED, DocumentState.REJECTED}),
    DocumentState.ACCEPTED: frozenset({DocumentState.REJECTED}),  # it turned out to be false
    DocumentState.REJECTED: frozenset(),
}


class KycLevel(models.Model):
    """Where an installation or one of its institutions differs from `levels.DEFAULTS`. Empty: no cap."""

    institution = models.ForeignKey(
        Institution,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("institution"),
        help_text=_("empty: all that have none of their own"),
    )
    level = models.PositiveSmallIntegerField(_("level"), validators=[MaxValueValidator(HIGHEST)])
    name = models.CharField(_("name"), max_length=60)
    may_trade = models.BooleanField(_("may trade"), default=True)
    may_deposit = models.BooleanField(_("may deposit"), default=True)
    may_withdraw = models.BooleanField(_("may withdraw"), default=True)
    currency = models.CharField(
        _("currency"), max_length=12, default="USDT", help_text=_("the asset that the amounts are in")
    )
    daily_deposit = models.DecimalField(
        _("deposits a day"), max_digits=36, decimal_places=18, null=True, blank=True
    )
    daily_withdrawal = models.DecimalField(
        _("withdrawals a day"), max_digits=36, decimal_places=18, null=True, blank=True
    )

    approval = models.ForeignKey(
        "approvals.Approval",
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        verbose_name=_("approval"),
        help_text=_("whose word it was"),
    )

    class Meta:
        verbose_name = _("KYC level")
        verbose_name_plural = _("KYC levels")
        ordering = ["institution", "level"]
        constraints = [
            models.UniqueConstraint(
                fields=["institution", "level"], name="kyc_level_once", nulls_distinct=False
            ),
            models.CheckConstraint(condition=Q(level__lte=HIGHEST), name="kyc_level_is_known"),
            models.CheckConstraint(
                condition=(Q(daily_deposit__isnull=True) | Q(daily_deposit__gte=0))
                & (Q(daily_withdrawal__isnull=True) | Q(daily_withdrawal__gte=0)),
                name="kyc_caps_are_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.institution or _('everybody')}: {self.level}"


class KycProfile(models.Model):
    """What is known of a user. Who has none is at the installation's level EXCHANGE_KYC_LEVEL."""

    user = models.OneToOneField(
        User, on_delete=models.CASCADE, primary_key=True, related_name="+", verbose_name=_("user")
    )
    institution = models.ForeignKey(
        Institution, on_delete=models.PROTECT, related_name="+", verbose_name=_("institution")
    )
    level = models.PositiveSmallIntegerField(_("level"), validators=[MaxValueValidator(HIGHEST)])
    state = models.CharField(
        _("state"), max_length=10, choices=ProfileState.choices, default=ProfileState.UNVERIFIED
    )
    name = EncryptedTextField(_("name"), max_length=200, blank=True)
    birth_date = EncryptedTextField(_("date of birth"), max_length=10, blank=True)
    identity_number = EncryptedTextField(
        _("identity number"), max_length=40, blank=True, digest_field="identity_digest"
    )
    identity_digest = models.CharField(max_length=90, blank=True, editable=False)
    updated_at = models.DateTimeField(_("changed at"), default=timezone.now)

    class Meta:
        verbose_name = _("KYC profile")
        verbose_name_plural = _("KYC profiles")
        constraints = [
            models.UniqueConstraint(
                fields=["institution", "identity_digest"],
                name="kyc_identity_once",
                condition=~Q(identity_digest=""),
            ),
            models.CheckConstraint(condition=Q(level__lte=HIGHEST), name="kyc_profile_level_is_known"),
        ]

    def __str__(self) -> str:
        return str(self.user_id)


class KycDocument(models.Model):
    """One document that was asked for; the document itself lies where `reference` says, not here."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", verbose_name=_("user"))
    kind = models.CharField(_("kind"), max_length=10, choices=DocumentKind.choices)
    state = models.CharField(
        _("state"), max_length=10, choices=DocumentState.choices, default=DocumentState.REQUESTED
    )
    reference = EncryptedTextField(
        _("reference"), max_length=200, blank=True, help_text=_("where the document is kept")
    )
    expires_on = models.DateField(_("expires on"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    decided_by = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("decided by"),
    )
    created_at = models.DateTimeField(_("asked for at"), default=timezone.now)
    updated_at = models.DateTimeField(_("changed at"), default=timezone.now)

    class Meta:
        verbose_name = _("KYC document")
        verbose_name_plural = _("KYC documents")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="REJECTED") | ~Q(reason=""), name="kyc_rejected_with_a_reason"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)
