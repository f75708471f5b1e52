from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import exchange.base.encryption


class Migration(migrations.Migration):
    dependencies = [("members", "0005_roles")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="closed_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="when the account was closed; it never opens again",
                null=True,
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(("closed_at__isnull", True), ("is_active", False), _connector="OR"),
                name="user_closed_for_good",
                violation_error_message="The account was closed for good.",
            ),
        ),
        migrations.CreateModel(
            name="PersonKey",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "secret",
                    exchange.base.encryption.EncryptedTextField(
                        help_text="32 bytes in base64", max_length=64
                    ),
                ),
            ],
        ),
    ]
