from __future__ import annotations

from pathlib import Path

import django.db.models.deletion
import django.utils.timezone
import exchange.base.ids
import trading.models.fields
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models


SQL = (Path(__file__).parent / "sql" / "payments.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0006_wallet"),
        ("members", "0006_closing"),
        ("risk", "0003_surveillance"),
        ("kyc", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Deposit",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=exchange.base.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "amount",
                    trading.models.fields.AmountField(
                        decimal_places=18, max_digits=36, verbose_name="amount"
                    ),
                ),
                ("client_reference", models.CharField(max_length=100, verbose_name="client's reference")),
                ("party", models.TextField()),
                (
                    "reference",
                    models.CharField(
                        blank=True,
                        help_text="the bank's or the chain's own name for it",
                        max_length=100,
                        verbose_name="reference",
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=300, verbose_name="reason")),
                ("second_person", models.BooleanField(default=False, verbose_name="takes two")),
                (
                    "transaction_id",
                    models.UUIDField(
                        blank=True, help_text="of the ledger, once it is booked", null=True, unique=True
                    ),
                ),
                ("trace_id", models.CharField(default="", max_length=64)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="requested at"),
                ),
                (
                    "updated_at",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="changed at"),
                ),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="closed at")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("REQUESTED", "requested"),
                            ("CONFIRMED", "confirmed"),
                            ("REJECTED", "rejected"),
                            ("CANCELLED", "cancelled"),
                        ],
                        default="REQUESTED",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="trading.account"
                    ),
                ),
                (
                    "asked_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="approval asked for by",
                    ),
                ),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="trading.asset",
                        verbose_name="asset",
                    ),
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
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "deposit",
                "verbose_name_plural": "deposits",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["user", "id"], name="deposit_user"),
                    models.Index(
                        condition=models.Q(("closed_at__isnull", True)), fields=["id"], name="deposit_open"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "client_reference"), name="deposit_reference_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gt", 0)), name="deposit_amount_positive"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("closed_at__isnull", True), ("state", "REQUESTED")),
                            models.Q(
                                ("closed_at__isnull", False),
                                ("state__in", ["CONFIRMED", "REJECTED", "CANCELLED"]),
                            ),
                            _connector="OR",
                        ),
                        name="deposit_closed_by_its_state",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "CONFIRMED"), ("transaction_id__isnull", False)),
                            models.Q(
                                models.Q(("state", "CONFIRMED"), _negated=True),
                                ("transaction_id__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="deposit_booked_if_confirmed",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state__in", ["CONFIRMED", "REJECTED"]), _negated=True),
                            models.Q(
                                ("decided_by__isnull", False),
                                models.Q(("decided_by", models.F("user")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="deposit_decided_by_another",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("second_person", True), ("state", "CONFIRMED"), _negated=True),
                            models.Q(
                                ("asked_by__isnull", False),
                                models.Q(("asked_by", models.F("decided_by")), _negated=True),
                                models.Q(("asked_by", models.F("user")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="deposit_second_person",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "REJECTED"), _negated=True),
                            models.Q(("reason", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="deposit_rejected_with_a_reason",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Withdrawal",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=exchange.base.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "amount",
                    trading.models.fields.AmountField(
                        decimal_places=18, max_digits=36, verbose_name="amount"
                    ),
                ),
                ("client_reference", models.CharField(max_length=100, verbose_name="client's reference")),
                ("party", models.TextField()),
                (
                    "reference",
                    models.CharField(
                        blank=True,
                        help_text="the bank's or the chain's own name for it",
                        max_length=100,
                        verbose_name="reference",
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=300, verbose_name="reason")),
                ("second_person", models.BooleanField(default=False, verbose_name="takes two")),
                (
                    "transaction_id",
                    models.UUIDField(
                        blank=True, help_text="of the ledger, once it is booked", null=True, unique=True
                    ),
                ),
                ("trace_id", models.CharField(default="", max_length=64)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="requested at"),
                ),
                (
                    "updated_at",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="changed at"),
                ),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="closed at")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("REQUESTED", "requested"),
                            ("APPROVED", "approved"),
                            ("SENT", "sent"),
                            ("COMPLETED", "completed"),
                            ("REJECTED", "rejected"),
                            ("CANCELLED", "cancelled"),
                            ("FAILED", "failed"),
                        ],
                        default="REQUESTED",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                (
                    "held",
                    trading.models.fields.AmountField(
                        decimal_places=18, default=Decimal("0"), max_digits=36, verbose_name="held"
                    ),
                ),
                (
                    "approved_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="approved by",
                    ),
                ),
                (
                    "asked_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="approval asked for by",
                    ),
                ),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="trading.asset",
                        verbose_name="asset",
                    ),
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
                    "hold_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="trading.account"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "withdrawal",
                "verbose_name_plural": "withdrawals",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["user", "id"], name="withdrawal_user"),
                    models.Index(
                        condition=models.Q(("closed_at__isnull", True)), fields=["id"], name="withdrawal_open"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "client_reference"), name="withdrawal_reference_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gt", 0)), name="withdrawal_amount_positive"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("closed_at__isnull", True),
                                ("state__in", ["REQUESTED", "APPROVED", "SENT"]),
                                ("held", models.F("amount")),
                            ),
                            models.Q(
                                ("closed_at__isnull", False),
                                ("held", 0),
                                ("state__in", ["COMPLETED", "REJECTED", "CANCELLED", "FAILED"]),
                            ),
                            _connector="OR",
                        ),
                        name="withdrawal_holds_until_closed",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "COMPLETED"), ("transaction_id__isnull", False)),
                            models.Q(
                                models.Q(("state", "COMPLETED"), _negated=True),
                                ("transaction_id__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="withdrawal_booked_if_completed",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("state__in", ["APPROVED", "SENT", "COMPLETED", "FAILED"]), _negated=True
                            ),
                            models.Q(
                                ("approved_by__isnull", False),
                                models.Q(("approved_by", models.F("user")), _negated=True),
                                models.Q(("decided_by", models.F("user")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="withdrawal_approved_by_another",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("second_person", True),
                                ("state__in", ["APPROVED", "SENT", "COMPLETED", "FAILED"]),
                                _negated=True,
                            ),
                            models.Q(
                                ("asked_by__isnull", False),
                                models.Q(("asked_by", models.F("approved_by")), _negated=True),
                                models.Q(("asked_by", models.F("user")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="withdrawal_second_person",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state__in", ["REJECTED", "FAILED"]), _negated=True),
                            models.Q(
                                models.Q(("reason", ""), _negated=True),
                                ("decided_by__isnull", False),
                                models.Q(("decided_by", models.F("user")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="withdrawal_refused_with_a_reason",
                    ),
                ],
            },
        ),
        migrations.RunSQL(SQL),
    ]
