"""What surveillance and risk analysis have noticed, and what people made of it.

An alert is one finding; a case is the investigation that one or more alerts about the same user and kind of
conduct belong to. A closed case is final: the database refuses every change to it, its alerts and its notes
(`migrations/sql/cases.sql`). `risk.cases.workflow` is the only writer.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from exchange.base import ids


class Severity(models.IntegerChoices):
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class State(models.TextChoices):
    OPEN = "OPEN"
    INVESTIGATING = "INVESTIGATING"
    CLOSED_CONFIRMED = "CLOSED_CONFIRMED"
    CLOSED_DISMISSED = "CLOSED_DISMISSED"


CLOSED = frozenset({State.CLOSED_CONFIRMED, State.CLOSED_DISMISSED})
UNDER_WAY = frozenset(State) - CLOSED

# From each state, where a case may go. Nothing leads out of a closed one.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.OPEN: frozenset({State.INVESTIGATING, State.CLOSED_DISMISSED}),
    State.INVESTIGATING: frozenset({State.OPEN, State.CLOSED_CONFIRMED, State.CLOSED_DISMISSED}),
    State.CLOSED_CONFIRMED: frozenset(),
    State.CLOSED_DISMISSED: frozenset(),
}


class Case(models.Model):
    """One investigation. Severity and score are the highest of its alerts."""

    id = models.BigAutoField(primary_key=True, verbose_name="case")
    kind = models.CharField(max_length=40, help_text="of its first alert")
    user = models.ForeignKey("members.User", on_delete=models.PROTECT, null=True, related_name="+")
    symbol = models.CharField(max_length=41, blank=True, default="", help_text="of its first alert")
    severity = models.PositiveSmallIntegerField(choices=Severity.choices)
    score = models.FloatField()
    rank = models.FloatField(null=True, help_text="how unusual beside the others: higher is looked at first")
    state = models.CharField(max_length=20, choices=State.choices, default=State.OPEN)
    assignee = models.ForeignKey("members.User", on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.TextField(blank=True, default="", help_text="why it was decided so")
    decided_by = models.ForeignKey("members.User", on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    opened_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["state", "-severity", "-id"], name="case_queue")]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "kind"],
                name="one_case_under_way",
                condition=Q(user__isnull=False, state__in=["OPEN", "INVESTIGATING"]),
            ),
            models.CheckConstraint(
                condition=Q(state__in=["OPEN", "INVESTIGATING"], decided_by=None, decided_at=None, reason="")
                | (
                    Q(state__in=["CLOSED_CONFIRMED", "CLOSED_DISMISSED"])
                    & Q(decided_by__isnull=False, decided_at__isnull=False)
                    & ~Q(reason="")
                ),
                name="case_closes_with_a_reason",
            ),
            models.CheckConstraint(
                condition=~Q(state="INVESTIGATING") | Q(assignee__isnull=False), name="case_is_somebodys"
            ),
        ]

    def __str__(self) -> str:
        return _("case %(case)s") % {"case": self.pk}


class Alert(models.Model):
    """One finding. Found again while its case is under way, it grows: `times`, and the evidence."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="alerts")
    kind = models.CharField(max_length=40)
    severity = models.PositiveSmallIntegerField(choices=Severity.choices)
    user = models.ForeignKey("members.User", on_delete=models.PROTECT, null=True, related_name="+")
    symbol = models.CharField(max_length=41, blank=True, default="")
    score = models.FloatField()
    detail = models.JSONField(default=dict, help_text="what was found, as it was found last")
    evidence = models.JSONField(default=dict, help_text="lists of rows by name: orders, trades …")
    picture = models.TextField(blank=True, default="", help_text="SVG")
    dedup = models.CharField(max_length=200, help_text="what makes it the same finding")
    times = models.PositiveIntegerField(default=1, help_text="how often it was found")
    trace_id = models.CharField(max_length=64, blank=True, default="")
    raised_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["dedup"], name="alert_dedup")]
        constraints = [
            models.UniqueConstraint(fields=["case", "dedup"], name="one_alert_of_a_finding"),
            models.CheckConstraint(condition=~Q(dedup=""), name="alert_says_what_it_is"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class CaseNote(models.Model):
    """What a person has to say about a case. Append-only."""

    id = models.BigAutoField(primary_key=True)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="notes")
    author = models.ForeignKey("members.User", on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    written_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(text=""), name="note_says_something")]

    def __str__(self) -> str:
        return self.text[:60]
