"""Plain admin pages of institutions and users."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import UsernameField
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from exchange.members.models import Institution, User, UserManager


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


@admin.register(Institution)
class InstitutionAdmin(ModelAdmin):
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
