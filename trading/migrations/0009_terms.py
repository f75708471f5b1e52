"""Fees have versions that take effect at a time of their own; adjustments need an approval."""

from __future__ import annotations

from pathlib import Path

import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
import trading.models.fields
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "adjustments.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [("approvals", "0001_initial"), ("trading", "0008_moving")]

    operations = [
        migrations.RemoveConstraint(model_name="feeschedule", name="one_fee_schedule"),
        migrations.RemoveConstraint(model_name="feeschedule", name="fee_rates_are_fractions"),
        migrations.AddField(
            model_name="feeschedule",
            name="effective_from",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                default=django.utils.timezone.now,
                help_text="UTC; empty: at once",
            ),
        ),
        migrations.AddField(
            model_name="feeschedule",
            name="approval",
            field=models.ForeignKey(
                editable=False,
                help_text="who asked for it and who approved it",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="approvals.approval",
            ),
        ),
        migrations.AlterField(
            model_name="feeschedule",
            name="maker",
            field=models.DecimalField(
                blank=True,
                decimal_places=6,
                help_text="fraction of what is received: 0.001 is 0.1 %; both empty: the schedule ends",
                max_digits=7,
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="feeschedule",
            name="taker",
            field=models.DecimalField(blank=True, decimal_places=6, max_digits=7, null=True),
        ),
        migrations.AddIndex(
            model_name="feeschedule",
            index=models.Index(
                fields=["institution", "instrument", "-effective_from"], name="fee_schedule_versions"
            ),
        ),
        migrations.AddConstraint(
            model_name="feeschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(maker__isnull=True, taker__isnull=True),
                    models.Q(
                        maker__isnull=False,
                        taker__isnull=False,
                        maker__gte=0,
                        maker__lt=1,
                        taker__gte=0,
                        taker__lt=1,
                    ),
                    _connector="OR",
                ),
                name="fee_rates_are_fractions",
                violation_error_message="Both rates must be from 0 to below 1, or both empty.",
            ),
        ),
        migrations.CreateModel(
            name="Adjustment",
            fields=[
                (
                    "transaction_id",
                    models.UUIDField(
                        editable=False,
                        help_text="the ledger transaction's id",
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "approval",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="approvals.approval",
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="trading.account"
                    ),
                ),
                (
                    "contra",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="trading.account"
                    ),
                ),
                (
                    "amount",
                    trading.models.fields.AmountField(
                        decimal_places=18,
                        help_text="added to the account, or taken from it if below zero",
                        max_digits=36,
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.RunSQL(SQL),
    ]
