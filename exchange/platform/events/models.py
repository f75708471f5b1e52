"""The outbox: events for other systems, written in the transaction that changed the state. And what our own
consumers have done with it."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class OutboxEvent(models.Model):
    """One message for Kafka; `message` is the whole envelope as JSON text, ready to be sent.

    The table is partitioned by ranges of `id` (see `exchange.base.partitions`): ids are given at insert, so they
    order the events of one key, and rows that were published leave with their partition. An event with `tries`
    that is not published holds back those after it that have the same topic and key.
    """

    class Status(models.TextChoices):
        PENDING = "PENDING"
        PUBLISHED = "PUBLISHED"
        FAILED = "FAILED"  # tried too often: waits for an operator
        DISCARDED = "DISCARDED"  # an operator has given it up; it has its `published_at` all the same

    id = models.BigAutoField(primary_key=True)
    topic = models.CharField(max_length=50)
    key = models.CharField(max_length=100)
    message = models.TextField()
    status = models.CharField(
        max_length=10, choices=Status.choices, default=Status.PENDING, db_default=Status.PENDING
    )
    tries = models.PositiveSmallIntegerField(default=0, db_default=0)
    published_at = models.DateTimeField(null=True, blank=True)
    next_try_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200, default="", db_default="", blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="outbox_pending", condition=models.Q(published_at__isnull=True)),
            models.Index(
                fields=["topic", "key", "id"],
                name="outbox_held",
                condition=models.Q(published_at__isnull=True, tries__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.id}"


class RelayPosition(models.Model):
    """One row, locked by the relay that has the word. Up to `floor` there is nothing to send.

    Code that makes an event below it pending again lowers it in the same transaction.
    """

    floor = models.BigIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return str(self.floor)


class HandledEvent(models.Model):
    """A consumer group has done what the event asks for: written in the same transaction as the effects.

    Event ids are UUIDv7, so the oldest are a range of the primary key and are cleared away by it.
    """

    pk = models.CompositePrimaryKey("group", "event_id")
    group = models.CharField(max_length=40)
    event_id = models.UUIDField()
    handled_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.group} {self.event_id}"
