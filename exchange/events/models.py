"""The outbox: what other systems are told, written in the transaction that changed the state."""

from __future__ import annotations

from django.db import models


class OutboxEvent(models.Model):
    """One message for Kafka; `message` is the whole envelope as JSON text, ready to be sent.

    The table is partitioned by ranges of `id` (see `exchange.partitions`): ids are given at insert, so they
    order the events of one key, and rows that were published leave with their partition.
    """

    class Status(models.TextChoices):
        PENDING = "PENDING"
        PUBLISHED = "PUBLISHED"
        FAILED = "FAILED"

    id = models.BigAutoField(primary_key=True)
    topic = models.CharField(max_length=50)
    key = models.CharField(max_length=100)
    message = models.TextField()
    status = models.CharField(
        max_length=10, choices=Status.choices, default=Status.PENDING, db_default=Status.PENDING
    )
    tries = models.PositiveSmallIntegerField(default=0, db_default=0)
    published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="outbox_pending", condition=models.Q(published_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.id}"
