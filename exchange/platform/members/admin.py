"""Admin pages of institutions, with the look of their pages, of users, and of their sign-ins."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import UsernameField
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.decorators import action
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from exchange.base.admin.keyset import KeysetAdmin
from exchange.platform.members import branding_rules, staff_permissions, staff_sessions
from exchange.platform.members.models import (
    Brand,
    Institution,
    InstitutionHost,
    KnownDevice,
    StaffSession,
    User,
    UserManager,
)
from exchange.platform.members.tenancy import TenantAdmin, visible

admin.site.unregister(Group)  # permissions come from roles


class _LowerCase:
    """E-mails are kept in small letters, which is how sign-in looks for them."""

    def clean_email(self) -> str:
        return UserManager.normalize_email(self.cleaned_data["email"])  # type: ignore[attr-defined]


class NewUserForm(_LowerCase, UserCreationForm):
    class Meta:
        model = User
        fields = ("email", "institution")
        field_classes = {"email": UsernameField}


class ChangedUserForm(_LowerCase, UserChangeForm):
    class Meta:
        model = User
        fields = ("email", "password", "is_active")
        field_classes = {"email": UsernameField}


class BrandForm(forms.ModelForm):
    upload = forms.FileField(
        label=_("logo"), required=False, help_text=_("PNG or WebP, at most 64 KiB; replaces the one there is")
    )
    remove = forms.BooleanField(label=_("remove the logo"), required=False)

    class Meta:
        model = Brand
        fields = ("name", "accent", "buy", "sell")

    def clean_upload(self) -> bytes | None:
        file: UploadedFile | None = self.cleaned_data["upload"]
        if file is None:
            return None
        data = file.read(branding_rules.MOST_BYTES + 1)
        branding_rules.check_logo(data)
        return data

    def save(self, commit: bool = True) -> Any:
        if self.cleaned_data["remove"]:
            self.instance.logo = b""
        if self.cleaned_data["upload"] is not None:
            self.instance.logo = self.cleaned_data["upload"]
        return super().save(commit)


class BrandInline(StackedInline):
    model = Brand
    form = BrandForm


class HostInline(TabularInline):
    """Who names a host shows their pages there, so an institution's staff may look only."""

    model = InstitutionHost
    extra = 0


@admin.register(Institution)
class InstitutionAdmin(TenantAdmin, ModelAdmin):
    """The code stays: commands and addresses name it. The rate takes a second person, and is the platform's."""

    tenant = "pk"
    inlines = [BrandInline, HostInline]
    list_display = ["name", "code", "order_rate", "created_at"]
    search_fields = ["name", "code"]
    ordering = ["code"]
    fields = ["code", "name", "order_rate"]
    actions_detail = ["ask_for_rate"]

    def get_readonly_fields(self, request: HttpRequest, obj: Institution | None = None) -> list[str]:
        return ["code", "order_rate"] if obj else ["order_rate"]

    def has_rate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return visible(request.user) is None and self.may(request, "limits.request")

    @action(description=_("Ask for an order rate"), permissions=["rate"], url_path="rate")
    def ask_for_rate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return _ask("ORDER_RATE", institution=object_id)


@admin.register(User)
class UserAdmin(TenantAdmin, KeysetAdmin, DjangoUserAdmin, ModelAdmin):  # type: ignore[misc] # as Django types actions
    """A new user is a trader. A role is asked for and approved by another person, so no form has it; of the
    staff only those are changed here, and get a password, who may less than the user who does it.
    """

    tenant = "institution"
    form = ChangedUserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["email", "institution", "role", "order_rate", "is_active", "is_staff"]
    list_filter = ["institution", "role", "is_active", "is_staff"]
    list_select_related = ["institution"]
    search_fields = ["email"]
    ordering = ["email"]
    filter_horizontal = ()
    actions_detail: ClassVar[list[Any]] = [
        {"title": _("Ask for"), "items": ["ask_for_role", "ask_for_rate", "ask_for_adjustment"]}
    ]
    readonly_fields = [
        "institution",
        "role",
        "order_rate",
        "is_staff",
        "is_superuser",
        "last_login",
        "created_at",
    ]
    fieldsets = [
        (None, {"fields": ["email", "password", "institution", "role", "order_rate"]}),
        (_("Access"), {"fields": ["is_active", "is_staff", "is_superuser"]}),
        (_("Times"), {"fields": ["last_login", "created_at"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "usable_password", "password1", "password2", "institution"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        return self.readonly_fields if obj else []

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        found = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return found
        (name, options), *others = found  # who cannot set a password has nothing to see of it
        fields = [field for field in options["fields"] if field != "password"]
        return [(name, {**options, "fields": fields}), *others]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and (
            obj is None or staff_permissions.may_manage(cast(User, request.user), obj)
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # an account is closed; what it did stays

    def has_role_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.may(request, "users.role")

    def has_rate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.may(request, "limits.request")

    def has_adjustment_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.may(request, "adjustments.request")

    @action(description=_("Ask for a role"), permissions=["role"], url_path="role")
    def ask_for_role(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return _ask("ROLE", user=object_id)

    @action(description=_("Ask for an order rate"), permissions=["rate"], url_path="rate")
    def ask_for_rate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return _ask("ORDER_RATE", user=object_id)

    @action(description=_("Ask for an adjustment"), permissions=["adjustment"], url_path="adjustment")
    def ask_for_adjustment(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return _ask("ADJUSTMENT", user=object_id)


def _ask(kind: str, **about: str) -> HttpResponse:
    """To the page that asks for a second person's approval."""
    page = reverse("admin:approvals_approval_ask", args=[kind])
    return HttpResponseRedirect(f"{page}?{urlencode(about)}")


@admin.register(KnownDevice)
class KnownDeviceAdmin(TenantAdmin, ModelAdmin):
    """To look at, and to delete: the next sign-in from it is reported as one from a new device."""

    tenant = "user__institution"
    list_display = ["name", "user", "first_seen_at", "last_seen_at"]
    list_select_related = ["user"]
    search_fields = ["user__email"]
    fields = ["user", "name", "first_seen_at", "last_seen_at"]
    ordering = ["-last_seen_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(StaffSession)
class StaffSessionAdmin(TenantAdmin, KeysetAdmin, ModelAdmin):
    """Who of the staff signed in when and from where; an open session can be ended here."""

    tenant = "user__institution"
    list_display = ["started_at", "user", "device", "address", "seen_at", "ended_at", "ending"]
    list_filter = [("ended_at", admin.EmptyFieldListFilter), "ending"]
    list_select_related = ["user"]
    search_fields = ["user__email", "=address"]
    ordering = ["-id"]
    actions = ["end"]
    list_per_page = 50

    @admin.action(description=_("End these sessions"), permissions=["end"])
    def end(self, request: HttpRequest, chosen: QuerySet[StaffSession]) -> None:
        ended = sum(staff_sessions.end(session) for session in chosen)
        level = messages.SUCCESS if ended else messages.WARNING
        self.message_user(request, _("%(count)d sessions ended.") % {"count": ended}, level)

    def has_end_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "users.block")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
