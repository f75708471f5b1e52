"""Who takes part: institutions (the banks and brokers that run the exchange under their name) and their
users."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from exchange.base import ids
from exchange.platform.members import branding_rules
from exchange.platform.members.roles import Role
from exchange.platform.members.staff_models import Authenticator, Enrolment, StaffSession

__all__ = [
    "PERMISSIONS",
    "Authenticator",
    "Brand",
    "DemoMark",
    "Enrolment",
    "Institution",
    "InstitutionHost",
    "KnownDevice",
    "Role",
    "StaffSession",
    "User",
    "UserManager",
]
from exchange.base.encryption import EncryptedTextField


class Institution(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    code = models.SlugField(unique=True, help_text="short name used in commands, such as demo")
    name = models.CharField(max_length=200)
    order_rate = models.PositiveIntegerField(
        null=True, blank=True, help_text="orders a second for each user; empty: the installation's default"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class InstitutionHost(models.Model):
    """A host name under which people reach an institution's own pages."""

    host = models.CharField(
        max_length=253, unique=True, validators=[branding_rules.check_host], help_text="without a port"
    )
    institution = models.ForeignKey(Institution, on_delete=models.CASCADE, related_name="hosts")

    def __str__(self) -> str:
        return self.host


class Brand(models.Model):
    """How an institution's pages look. What is left empty is the product's own. Apart from Institution, so
    that no list of users carries logos along."""

    institution = models.OneToOneField(
        Institution, on_delete=models.CASCADE, primary_key=True, related_name="brand"
    )
    name = models.CharField(max_length=40, blank=True, help_text="on its pages; empty: the institution's")
    accent = models.CharField(
        max_length=7, blank=True, validators=[branding_rules.check_colour], help_text="#rrggbb"
    )
    buy = models.CharField(
        "buying and rising",
        max_length=7,
        blank=True,
        validators=[branding_rules.check_colour],
        help_text="#rrggbb",
    )
    sell = models.CharField(
        "selling and falling",
        max_length=7,
        blank=True,
        validators=[branding_rules.check_colour],
        help_text="#rrggbb",
    )
    logo = models.BinaryField(blank=True, default=b"", max_length=branding_rules.MOST_BYTES)

    def __str__(self) -> str:
        return self.name or str(self.institution)


_STAFF = ["orders:read", "balances:read", "profile:read", "profile:write"]

# What the API lets each role do with its own access token; the back office has `roles.GRANTS`.
PERMISSIONS: dict[str, list[str]] = dict.fromkeys(Role.values, _STAFF) | {
    Role.TRADER: [
        "orders:read",
        "orders:write",
        "balances:read",
        "payments:read",
        "payments:write",
        "profile:read",
        "profile:write",
    ]
}


class UserManager(BaseUserManager["User"]):
    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        return (email or "").strip().lower()

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=self.normalize_email(username))

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        fields |= {"is_superuser": True, "role": Role.PLATFORM_ADMIN}
        return self.create_user(email, password, **fields)


class User(AbstractBaseUser, PermissionsMixin):  # type: ignore[django-manager-missing] # django-otp has no types
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    email = models.EmailField(unique=True)
    institution = models.ForeignKey(
        Institution, on_delete=models.PROTECT, related_name="users", null=True, blank=True
    )
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.TRADER)
    order_rate = models.PositiveIntegerField(
        null=True, blank=True, help_text="orders a second; empty: the institution's"
    )
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False, editable=False, help_text="follows from the role")
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="when the account was closed; it never opens again"
    )

    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="user_email_whatever_case",
                violation_error_message="This e-mail is taken.",
            ),
            models.CheckConstraint(
                condition=Q(is_staff=True) & (~Q(role=Role.TRADER) | Q(is_superuser=True))
                | Q(is_staff=False, role=Role.TRADER, is_superuser=False),
                name="user_staff_by_role",
            ),
            models.CheckConstraint(
                condition=~Q(role=Role.PLATFORM_ADMIN) | Q(institution__isnull=True),
                name="platform_admin_has_no_institution",
                violation_error_message="A platform admin belongs to no institution.",
            ),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True) | Q(is_active=False),
                name="user_closed_for_good",
                violation_error_message="The account was closed for good.",
            ),
            models.CheckConstraint(
                condition=~Q(role=Role.INSTITUTION_ADMIN) | Q(institution__isnull=False),
                name="institution_admin_has_one",
                violation_error_message="An institution admin needs an institution.",
            ),
        ]

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Who has a role of the staff is of the staff; the database refuses anything else."""
        self.is_staff = self.role != Role.TRADER or self.is_superuser
        if (names := kwargs.get("update_fields")) is not None and {"role", "is_superuser"} & set(names):
            kwargs["update_fields"] = {*names, "is_staff"}
        super().save(*args, **kwargs)

    @property
    def permissions(self) -> list[str]:
        return PERMISSIONS[self.role]


class KnownDevice(models.Model):
    """A device that a user has signed in from; see `members.devices`."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, db_index=False, related_name="devices")
    fingerprint = models.CharField(max_length=64, help_text="what it is known by, as a digest")
    name = models.CharField(max_length=60)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "fingerprint"], name="known_device_once")]

    def __str__(self) -> str:
        return self.name


class PersonKey(models.Model):
    """The key that seals one person's data in rows which never change; see `members.personal_data`. Without it
    they cannot be read any more."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="+")
    secret = EncryptedTextField(max_length=64, help_text="32 bytes in base64")

    def __str__(self) -> str:
        return str(self.user_id)


class DemoMark(models.Model):
    """Its one row says that this installation was begun as a demo; see `members.installation`."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    since = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="demo_mark_is_one")]

    def __str__(self) -> str:
        return f"a demo since {self.since:%Y-%m-%d}"
