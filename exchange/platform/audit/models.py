"""The audit log: records, and the seals that chain them.

Both are append-only by triggers (`migrations/sql/audit.sql`) and partitioned by month on their ids. A chain is that of
an institution, or of the platform, whose id is all zeros.
"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from exchange.base import ids


class Record(models.Model):
    """Who did what. `old` and `new` are JSON text, kept to the letter, as they are hashed."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    at = models.DateTimeField(_("time"), db_default=Now(), editable=False)
    institution = models.ForeignKey(
        "members.Institution",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("institution"),
    )
    actor = models.TextField(_("actor"))
    role = models.TextField(_("role"), db_default="", default="")
    action = models.TextField(_("action"))
    resource = models.TextField(_("resource"))
    old = models.TextField(_("old"), db_default="{}", default="{}")
    new = models.TextField(_("new"), db_default="{}", default="{}")
    address = models.TextField(_("address"), db_default="", default="")
    agent = models.TextField(_("program"), db_default="", default="")
    trace_id = models.TextField(_("trace id"), db_default="", default="")

    class Meta:
        verbose_name = _("audit record")
        verbose_name_plural = _("audit records")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["actor", "-id"], name="audit_actor"),
            models.Index(fields=["resource", "-id"], name="audit_resource"),
            models.Index(fields=["institution", "-id"], name="audit_institution"),
            models.Index(fields=["trace_id"], name="audit_trace"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.resource}"


class Seal(models.Model):
    """A record's place in its chain: `hash` is the SHA-256 of `before`, the hash of the record before it, and of the
    record in canonical form. The id is the record's. (chain, number) is unique in each partition."""

    id = models.UUIDField(primary_key=True, editable=False)
    chain = models.UUIDField()
    number = models.BigIntegerField()
    before = models.BinaryField()
    hash = models.BinaryField()
    sealed_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.chain} {self.number}"


class Unsealed(models.Model):
    """A record that has no seal yet: written by a trigger, taken away by who seals it."""

    record = models.UUIDField(primary_key=True)

    def __str__(self) -> str:
        return str(self.record)


class Head(models.Model):
    """The end of a chain. `told` is the number up to which it was published on `audit.logs`."""

    chain = models.UUIDField(primary_key=True)
    number = models.BigIntegerField()
    hash = models.BinaryField()
    told = models.BigIntegerField(db_default=0, default=0)

    def __str__(self) -> str:
        return f"{self.chain} {self.number}"


class Archive(models.Model):
    """A partition that went to a file. Append-only. Ids from `lower` to below `upper` are there and not here."""

    name = models.TextField(primary_key=True, help_text="the partition's, and the file's")
    source = models.TextField(help_text="the table that it was part of")
    lower = models.UUIDField()
    upper = models.UUIDField()
    rows = models.BigIntegerField()
    digest = models.TextField(help_text="SHA-256 of the file")
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name


class Archived(models.Model):
    """A run of a chain that went with an archive: what comes after it continues from `hash`. Append-only."""

    chain = models.UUIDField()
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    before = models.BinaryField()
    hash = models.BinaryField()
    archive = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chain", "first"], name="audit_archived_once")]

    def __str__(self) -> str:
        return f"{self.chain} {self.first} to {self.last}"
