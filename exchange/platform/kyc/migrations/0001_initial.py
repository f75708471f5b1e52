from __future__ import annotations

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import exchange.base.ids
import exchange.base.encryption
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("members", "0006_closing"),
        ("approvals", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="KycDocument",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=exchange.base.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("IDENTITY", "identity document"),
                            ("ADDRESS", "proof of address"),
                            ("SELFIE", "photograph"),
                            ("INCOME", "source of funds"),
                            ("OTHER", "other"),
                        ],
                        max_length=10,
                        verbose_name="kind",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("REQUESTED", "asked for"),
                            ("RECEIVED", "received"),
                            ("ACCEPTED", "accepted"),
                            ("REJECTED", "rejected"),
                        ],
                        default="REQUESTED",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                (
                    "reference",
                    exchange.base.encryption.EncryptedTextField(
                        blank=True,
                        help_text="where the document is kept",
                        max_length=200,
                        verbose_name="reference",
                    ),
                ),
                ("expires_on", models.DateField(blank=True, null=True, verbose_name="expires on")),
                ("reason", models.CharField(blank=True, max_length=300, verbose_name="reason")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="asked for at"),
                ),
                (
                    "updated_at",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="changed at"),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="decided by",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "KYC document",
                "verbose_name_plural": "KYC documents",
                "ordering": ["-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "REJECTED"), _negated=True),
                            models.Q(("reason", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="kyc_rejected_with_a_reason",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="KycLevel",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "level",
                    models.PositiveSmallIntegerField(
                        validators=[django.core.validators.MaxValueValidator(3)], verbose_name="level"
                    ),
                ),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("may_trade", models.BooleanField(default=True, verbose_name="may trade")),
                ("may_deposit", models.BooleanField(default=True, verbose_name="may deposit")),
                ("may_withdraw", models.BooleanField(default=True, verbose_name="may withdraw")),
                (
                    "currency",
                    models.CharField(
                        default="USDT",
                        help_text="the asset that the amounts are in",
                        max_length=12,
                        verbose_name="currency",
                    ),
                ),
                (
                    "daily_deposit",
                    models.DecimalField(
                        blank=True, decimal_places=18, max_digits=36, null=True, verbose_name="deposits a day"
                    ),
                ),
                (
                    "daily_withdrawal",
                    models.DecimalField(
                        blank=True,
                        decimal_places=18,
                        max_digits=36,
                        null=True,
                        verbose_name="withdrawals a day",
                    ),
                ),
                (
                    "approval",
                    models.ForeignKey(
                        editable=False,
                        help_text="whose word it was",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="approvals.approval",
                        verbose_name="approval",
                    ),
                ),
                (
                    "institution",
                    models.ForeignKey(
                        blank=True,
                        help_text="empty: all that have none of their own",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="members.institution",
                        verbose_name="institution",
                    ),
                ),
            ],
            options={
                "verbose_name": "KYC level",
                "verbose_name_plural": "KYC levels",
                "ordering": ["institution", "level"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("institution", "level"), name="kyc_level_once", nulls_distinct=False
                    ),
                    models.CheckConstraint(condition=models.Q(("level__lte", 3)), name="kyc_level_is_known"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("daily_deposit__isnull", True), ("daily_deposit__gte", 0), _connector="OR"
                            ),
                            models.Q(
                                ("daily_withdrawal__isnull", True),
                                ("daily_withdrawal__gte", 0),
                                _connector="OR",
                            ),
                        ),
                        name="kyc_caps_are_not_negative",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="KycProfile",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
                (
                    "level",
                    models.PositiveSmallIntegerField(
                        validators=[django.core.validators.MaxValueValidator(3)], verbose_name="level"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("UNVERIFIED", "not verified"),
                            ("IN_REVIEW", "in review"),
                            ("VERIFIED", "verified"),
                            ("REFUSED", "refused"),
                            ("ERASED", "erased"),
                        ],
                        default="UNVERIFIED",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                (
                    "name",
                    exchange.base.encryption.EncryptedTextField(
                        blank=True, max_length=200, verbose_name="name"
                    ),
                ),
                (
                    "birth_date",
                    exchange.base.encryption.EncryptedTextField(
                        blank=True, max_length=10, verbose_name="date of birth"
                    ),
                ),
                (
                    "identity_number",
                    exchange.base.encryption.EncryptedTextField(
                        blank=True,
                        digest_field="identity_digest",
                        max_length=40,
                        verbose_name="identity number",
                    ),
                ),
                ("identity_digest", models.CharField(blank=True, editable=False, max_length=90)),
                (
                    "updated_at",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="changed at"),
                ),
                (
                    "institution",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="members.institution",
                        verbose_name="institution",
                    ),
                ),
            ],
            options={
                "verbose_name": "KYC profile",
                "verbose_name_plural": "KYC profiles",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("identity_digest", ""), _negated=True),
                        fields=("institution", "identity_digest"),
                        name="kyc_identity_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("level__lte", 3)), name="kyc_profile_level_is_known"
                    ),
                ],
            },
        ),
    ]
