"""Admin pages: what was sent and what became of it, an institution's own words, how users are reached."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from exchange.base.admin.keyset import KeysetAdmin
from exchange.platform.members.tenancy import TenantAdmin
from exchange.platform.notifications import texts
from exchange.platform.notifications.models import Delivery, Letterhead, TextTemplate, UserContact


@admin.register(Delivery)
class DeliveryAdmin(TenantAdmin, KeysetAdmin, ModelAdmin):
    """To look at, never to touch: a row that is sent twice is a message that is sent twice."""

    tenant = "user__institution"
    list_display = ["id", "user", "kind", "channel", "state", "tries", "reason", "claimed_at", "finished_at"]
    list_filter = ["state", "channel", "kind"]
    list_select_related = ["user"]
    search_fields = ["user__email", "notification__event_id"]
    readonly_fields = ["event", "trace"]
    ordering = ["-id"]
    actions = None
    list_per_page = 50

    @admin.display(description=_("event"))
    def event(self, delivery: Delivery) -> str:
        return str(delivery.notification.event_id)

    @admin.display(description=_("trace id"))
    def trace(self, delivery: Delivery) -> str:
        return delivery.notification.trace_id

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class TextTemplateForm(forms.ModelForm):
    class Meta:
        model = TextTemplate
        fields = ("institution", "kind", "channel", "language", "subject", "body")
        help_texts = {
            "body": _(
                "Plain text. {{ name }} puts a value in, {% if name %}…{% endif %} asks for one. Save to learn "
                "which there are."
            )
        }

    def clean(self) -> dict[str, Any]:
        """Tried out with an example, so that no user's notification fails for it."""
        given = super().clean() or {}
        if not self.errors:
            texts.check(TextTemplate(**given))
        return given


@admin.register(TextTemplate)
class TextTemplateAdmin(TenantAdmin, ModelAdmin):
    tenant = "institution"
    form = TextTemplateForm
    list_display = ["institution", "kind", "channel", "language", "subject"]
    list_filter = ["institution", "kind", "channel", "language"]
    list_select_related = ["institution"]
    readonly_fields = ["preview"]
    ordering = ["institution__code", "kind", "channel", "language"]

    @admin.display(description=_("with an example, as last saved"))
    def preview(self, template: TextTemplate) -> str:
        if template._state.adding:
            return ""
        words = texts.check(template)
        return "\n\n".join(part for part in words if part)


@admin.register(UserContact)
class UserContactAdmin(TenantAdmin, ModelAdmin):
    tenant = "user__institution"
    list_display = ["user", "language", "has_phone"]
    list_filter = ["language"]
    list_select_related = ["user"]
    search_fields = ["user__email"]
    autocomplete_fields = ["user"]
    ordering = ["user__email"]

    @admin.display(description=_("phone"), boolean=True)
    def has_phone(self, contact: UserContact) -> bool:
        return bool(contact.phone)


@admin.register(Letterhead)
class LetterheadAdmin(TenantAdmin, ModelAdmin):
    tenant = "institution"
    list_display = ["institution", "language", "email_from"]
    list_select_related = ["institution"]
    ordering = ["institution__code"]
