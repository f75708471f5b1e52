"""Admin pages of institutions, with the look of their pages, and of users."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import UsernameField
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from exchange.members import looks
from exchange.members.models import Brand, Institution, InstitutionHost, KnownDevice, User, UserManager


class _LowerCase:
    """E-mails are kept in small letters, which is how sign-in looks for them."""

    def clean_email(self) -> str:
        return UserManager.normalize_email(self.cleaned_data["email"])  # type: ignore[attr-defined]


class NewUserForm(_LowerCase, UserCreationForm):
    class Meta:
        model = User
        fields = ("email",)
        field_classes = {"email": UsernameField}


class ChangedUserForm(_LowerCase, UserChangeForm):
    class Meta:
        model = User
        fields = "__all__"
        field_classes = {"email": UsernameField}


class BrandForm(forms.ModelForm):
    upload = forms.FileField(
        label="logo", required=False, help_text="PNG or WebP, at most 64 KiB; replaces the one there is"
    )
    remove = forms.BooleanField(label="remove the logo", required=False)

    class Meta:
        model = Brand
        fields = ("name", "accent", "buy", "sell")

    def clean_upload(self) -> bytes | None:
        file: UploadedFile | None = self.cleaned_data["upload"]
        if file is None:
            return None
        data = file.read(looks.MOST_BYTES + 1)
        looks.check_logo(data)
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
    model = InstitutionHost
    extra = 0


@admin.register(Institution)
class InstitutionAdmin(ModelAdmin):
    inlines = [BrandInline, HostInline]
    list_display = ["name", "code", "order_rate", "created_at"]
    search_fields = ["name", "code"]
    ordering = ["code"]


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    form = ChangedUserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["email", "institution", "role", "order_rate", "is_active", "is_staff"]
    list_filter = ["institution", "role", "is_active", "is_staff"]
    list_select_related = ["institution"]
    search_fields = ["email"]
    ordering = ["email"]
    readonly_fields = ["last_login", "created_at"]
    fieldsets = [
        (None, {"fields": ["email", "password", "institution", "role", "order_rate"]}),
        ("Access", {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]}),
        ("Times", {"fields": ["last_login", "created_at"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "usable_password", "password1", "password2", "institution", "role"]}),
    ]


@admin.register(KnownDevice)
class KnownDeviceAdmin(ModelAdmin):
    """To look at, and to forget: the next sign-in from it is told as one from a new device."""

    list_display = ["name", "user", "first_seen_at", "last_seen_at"]
    list_select_related = ["user"]
    search_fields = ["user__email"]
    fields = ["user", "name", "first_seen_at", "last_seen_at"]
    ordering = ["-last_seen_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
