from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

import exchange.platform.members.staff_models
import exchange.base.encryption


def give_roles(apps: Any, schema_editor: Any) -> None:
    """Operators become admins: of their institution, or of the platform where they had none or were superusers.

    Whoever else was of the staff without a role has one that can only look.
    """
    users = apps.get_model("members", "User").objects
    operators = users.filter(role="OPERATOR")
    operators.filter(Q(institution=None) | Q(is_superuser=True)).update(
        role="PLATFORM_ADMIN", institution=None
    )
    operators.update(role="INSTITUTION_ADMIN")
    users.filter(role="TRADER", is_superuser=True).update(role="PLATFORM_ADMIN", institution=None)
    users.filter(role="TRADER", is_staff=True).update(role="SUPPORT")
    users.exclude(role="TRADER").update(is_staff=True)
    # Else PostgreSQL refuses to alter the table: it has checks of foreign keys to do at commit.
    schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


class Migration(migrations.Migration):
    dependencies = [("members", "0004_known_devices")]

    operations = [
        migrations.RunPython(give_roles, migrations.RunPython.noop, elidable=True),
        migrations.CreateModel(
            name="Authenticator",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(help_text="The human-readable name of this device.", max_length=64),
                ),
                ("confirmed", models.BooleanField(default=True, help_text="Is this device ready for use?")),
                (
                    "throttling_failure_timestamp",
                    models.DateTimeField(
                        blank=True,
                        default=None,
                        help_text="A timestamp of the last failed verification attempt. Null if last attempt succeeded.",
                        null=True,
                    ),
                ),
                (
                    "throttling_failure_count",
                    models.PositiveIntegerField(default=0, help_text="Number of successive failed attempts."),
                ),
                (
                    "secret",
                    exchange.base.encryption.EncryptedTextField(
                        default=exchange.platform.members.staff_models.new_secret,
                        editable=False,
                        max_length=80,
                    ),
                ),
                ("last_step", models.BigIntegerField(default=-1, help_text="of the last code that was used")),
                (
                    "user",
                    models.ForeignKey(
                        help_text="The user that this device belongs to.",
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="StaffSession",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("device", models.CharField(max_length=60)),
                ("address", models.CharField(blank=True, max_length=45)),
                ("started_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "ending",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("SIGNED_OUT", "signed out"),
                            ("IDLE", "idle for too long"),
                            ("TOO_OLD", "open for too long"),
                            ("REPLACED", "too many at a time"),
                            ("REVOKED", "ended by somebody else"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="staff_sessions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"verbose_name": "sign-in"},
        ),
        migrations.AlterField(
            model_name="user",
            name="is_staff",
            field=models.BooleanField(default=False, editable=False, help_text="follows from the role"),
        ),
        migrations.AlterField(
            model_name="user",
            name="role",
            field=models.CharField(
                choices=[
                    ("TRADER", "Trader"),
                    ("PLATFORM_ADMIN", "Platform admin"),
                    ("INSTITUTION_ADMIN", "Institution admin"),
                    ("DEALER", "Dealer"),
                    ("COMPLIANCE", "Compliance"),
                    ("AUDITOR", "Auditor"),
                    ("SUPPORT", "Support"),
                ],
                default="TRADER",
                max_length=20,
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=Q(is_staff=True) & (~Q(role="TRADER") | Q(is_superuser=True))
                | Q(is_staff=False, role="TRADER", is_superuser=False),
                name="user_staff_by_role",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=~Q(role="PLATFORM_ADMIN") | Q(institution__isnull=True),
                name="platform_admin_has_no_institution",
                violation_error_message="A platform admin belongs to no institution.",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=~Q(role="INSTITUTION_ADMIN") | Q(institution__isnull=False),
                name="institution_admin_has_one",
                violation_error_message="An institution admin needs an institution.",
            ),
        ),
        migrations.AddConstraint(
            model_name="authenticator",
            constraint=models.UniqueConstraint(
                condition=Q(confirmed=True), fields=("user",), name="one_authenticator"
            ),
        ),
        migrations.AddIndex(
            model_name="staffsession",
            index=models.Index(fields=["user", "-id"], name="staff_session_of_user"),
        ),
        migrations.AddConstraint(
            model_name="staffsession",
            constraint=models.CheckConstraint(
                condition=Q(ended_at__isnull=True, ending="") | Q(ended_at__isnull=False) & ~Q(ending=""),
                name="staff_session_ends_once",
            ),
        ),
    ]
