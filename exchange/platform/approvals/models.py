"""What needs a second person: what was asked for, by whom, and what another has decided.

A request names people by ids alone, as it is kept for good. The database (`migrations/sql/approvals.sql`) lets nobody
delete one, change what was asked for, or change one that is decided; and an approval is always by another person than
the one who asked, or whom it concerns.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from exchange.base import ids


class State(models.TextChoices):
    PENDING = "PENDING", _("waits")
    APPROVED = "APPROVED", _("approved")
    REJECTED = "REJECTED", _("rejected")
    EXPIRED = "EXPIRED", _("expired")
    WITHDRAWN = "WITHDRAWN", _("withdrawn")


def _person(**options: Any) -> Any:
    return models.ForeignKey("members.User", on_delete=models.PROTECT, related_name="+", **options)


class Approval(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    kind = models.CharField(_("kind"), max_length=20)
    institution = models.ForeignKey(
        "members.Institution",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("institution"),
        help_text=_("whose staff may decide; empty: the platform's alone"),
    )
    about = _person(null=True, blank=True, verbose_name=_("user"))
    subject = models.CharField(_("subject"), max_length=300)
    payload = models.JSONField(_("what is asked for"))
    changes = models.JSONField(_("old and new values"), default=list, help_text="when it was asked for")
    reason = models.CharField(_("reason"), max_length=500)
    requested_by = _person(verbose_name=_("requested by"))
    requested_at = models.DateTimeField(_("requested at"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires at"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.PENDING)
    decided_by = _person(null=True, blank=True, verbose_name=_("decided by"))
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)
    decision_reason = models.CharField(_("reason of the decision"), max_length=500, blank=True)
    outcome = models.CharField(_("outcome"), max_length=500, blank=True, help_text=_("what came of it"))

    once = ""  # what came of it that only the second person is shown, and no one a second time: kept nowhere

    class Meta:
        verbose_name = _("approval")
        verbose_name_plural = _("approvals")
        ordering = ["-requested_at"]
        indexes = [
            models.Index(fields=["expires_at"], name="approval_waits", condition=Q(state="PENDING")),
            models.Index(fields=["institution", "requested_at"], name="approval_of_institution"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="approval_state_is_known"),
            models.CheckConstraint(
                condition=~Q(state="APPROVED")
                | Q(decided_by__isnull=False) & ~Q(decided_by=F("requested_by")),
                name="approval_is_by_another_person",
            ),
            models.CheckConstraint(
                condition=~Q(state="APPROVED") | Q(about__isnull=True) | ~Q(decided_by=F("about")),
                name="approval_is_not_by_whom_it_concerns",
            ),
            models.CheckConstraint(
                condition=Q(state="PENDING", decided_by__isnull=True, decided_at__isnull=True)
                | Q(state="EXPIRED", decided_by__isnull=True, decided_at__isnull=False)
                | Q(
                    state__in=["APPROVED", "REJECTED", "WITHDRAWN"],
                    decided_by__isnull=False,
                    decided_at__isnull=False,
                ),
                name="approval_says_who_decided",
            ),
            models.CheckConstraint(
                condition=~Q(reason="") & (~Q(state__in=["APPROVED", "REJECTED"]) | ~Q(decision_reason="")),
                name="approval_has_reasons",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
