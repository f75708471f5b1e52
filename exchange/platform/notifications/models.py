"""What users were notified of, on which channels, and how they and their institutions want it.

A `Notification` stands in the user's list and is sent once on the feed. Each way out of the house has a
`Delivery`, and a delivery is handed to its provider once.
"""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from exchange.base import ids
from exchange.base.encryption import EncryptedTextField
from exchange.platform.members.models import Institution, User
from exchange.platform.notifications.kinds import OUTWARD, Channel, NotificationKind

PHONE = r"^\+[1-9][0-9]{6,14}$"  # ITU-T E.164


class Notification(models.Model):
    """`about` names what happened: an event, or a state of an order that several events may report. One event
    always gives the same, so a user is notified of nothing twice."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, db_index=False, related_name="+")
    kind = models.CharField(max_length=30, choices=NotificationKind.choices)
    about = models.CharField(max_length=100)
    event_id = models.UUIDField()
    data = models.JSONField(help_text="texts by name; what is in it depends on the kind")
    live = models.BooleanField(help_text="told on the feed; the user's list has all")
    trace_id = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "about"], name="notification_once")]
        indexes = [models.Index(fields=["user", "id"], name="notification_list")]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Delivery(models.Model):
    """One notification on one way out. From SENDING on nothing sends it again by itself."""

    class State(models.TextChoices):
        QUEUED = "QUEUED"
        HELD = "HELD", "Held for the digest"
        SENDING = "SENDING"
        SENT = "SENT"
        FAILED = "FAILED"
        UNKNOWN = "UNKNOWN", "Unknown: it may have been sent"

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    notification = models.ForeignKey(
        Notification, on_delete=models.CASCADE, db_index=False, related_name="deliveries"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, db_index=False, related_name="+")
    kind = models.CharField(max_length=30, choices=NotificationKind.choices)
    channel = models.CharField(max_length=10, choices=[(each.value, each.label) for each in OUTWARD])
    state = models.CharField(max_length=10, choices=State.choices)
    tries = models.PositiveSmallIntegerField(default=0)
    reason = models.CharField(max_length=100, blank=True, help_text="why it was not sent; names nobody")
    due_at = models.DateTimeField(help_text="not before")
    claimed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["notification", "channel"], name="delivery_once"),
        ]
        indexes = [
            models.Index(fields=["user", "channel", "id"], name="delivery_of_user"),
            models.Index(
                fields=["channel", "due_at"],
                name="delivery_open",
                condition=models.Q(state__in=["QUEUED", "HELD", "SENDING"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.id}"


class Preference(models.Model):
    """Where a user differs from `kinds.DEFAULTS`."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, db_index=False, related_name="+")
    kind = models.CharField(max_length=30, choices=NotificationKind.choices)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    wanted = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "kind", "channel"], name="preference_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.channel}: {self.wanted}"


class UserContact(models.Model):
    """How to reach a user beside their e-mail address, and in which language."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="+")
    phone = EncryptedTextField(
        max_length=16,
        blank=True,
        validators=[RegexValidator(PHONE, "Write it with the country's code: +905551112233.")],
        help_text="with the country's code, such as +905551112233; empty: no SMS",
    )
    language = models.CharField(
        max_length=5, blank=True, choices=settings.LANGUAGES, help_text="empty: the institution's"
    )

    def __str__(self) -> str:
        return str(self.user_id)


class Letterhead(models.Model):
    """How an institution writes to its users."""

    institution = models.OneToOneField(
        Institution, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    language = models.CharField(
        max_length=5, choices=settings.LANGUAGES, default="en", help_text="for users who have chosen none"
    )
    email_from = models.EmailField(blank=True, help_text="empty: the installation's EMAIL_FROM")

    def __str__(self) -> str:
        return str(self.institution)


class TextTemplate(models.Model):
    """An institution's own words, in place of those in `templates/notifications`."""

    DIGEST = "DIGEST"

    institution = models.ForeignKey(Institution, on_delete=models.CASCADE, db_index=False, related_name="+")
    kind = models.CharField(max_length=30, choices=[*NotificationKind.choices, (DIGEST, "Digest")])
    channel = models.CharField(max_length=10, choices=[(each.value, each.label) for each in OUTWARD])
    language = models.CharField(max_length=5, choices=settings.LANGUAGES)
    subject = models.CharField(max_length=200, blank=True, help_text="of an e-mail")
    body = models.TextField(max_length=10_000)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["institution", "kind", "channel", "language"], name="text_template_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.channel} {self.language}"
