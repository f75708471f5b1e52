"""API keys: how a trader's programs show who they are, without the trader's password."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from exchange.base import ids
from exchange.base.encryption import EncryptedTextField
from exchange.platform.members.scopes import CHOICES


class KeyKind(models.TextChoices):
    HMAC_SHA256 = "HMAC_SHA256", "HMAC-SHA256"
    ED25519 = "ED25519", "Ed25519"


class ApiKey(models.Model):
    """Its id is public; a program names it in each request. Rows are never deleted: the audit log speaks of
    them."""

    id = models.UUIDField(_("key"), primary_key=True, default=ids.new, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys", verbose_name=_("user")
    )
    name = models.CharField(_("name"), max_length=60)
    kind = models.CharField(_("kind"), max_length=20, choices=KeyKind.choices)
    secret = EncryptedTextField(max_length=64, blank=True, help_text="of HMAC: shared with the user")
    public_key = models.CharField(
        _("public key"), max_length=44, blank=True, help_text="of Ed25519: its 32 bytes in base64"
    )
    scopes = ArrayField(models.CharField(max_length=10, choices=CHOICES), verbose_name=_("scopes"))
    addresses = ArrayField(
        models.CharField(max_length=43),
        default=list,
        blank=True,
        verbose_name=_("allowed addresses"),
        help_text="networks it may be used from; none: from everywhere",
    )
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    created_at = models.DateTimeField(_("made"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    last_used_address = models.CharField(_("last used from"), max_length=45, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        indexes = [models.Index(fields=["user", "-id"], name="api_keys_of_a_user")]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind=KeyKind.HMAC_SHA256, public_key="")
                | (Q(kind=KeyKind.ED25519) & ~Q(public_key="")),
                name="api_key_has_what_its_kind_needs",
            ),
            models.CheckConstraint(condition=~Q(scopes=[]), name="api_key_has_a_scope"),
        ]

    def __str__(self) -> str:
        return self.name

    def facts(self) -> dict[str, Any]:
        """What the audit log says of it; nothing secret."""
        return {
            "name": self.name,
            "kind": self.kind,
            "scopes": self.scopes,
            "addresses": self.addresses,
            "expires_at": self.expires_at.isoformat() if self.expires_at else None,
        }
