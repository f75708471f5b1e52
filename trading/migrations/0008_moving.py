from __future__ import annotations

from pathlib import Path

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import exchange.base.ids

SQL = (Path(__file__).parent / "sql" / "moving.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [("trading", "0007_payments"), ("matching", "0002_guards")]

    operations = [
        migrations.AddField(
            model_name="instrument",
            name="place_offset",
            field=models.BigIntegerField(
                default=0,
                db_default=0,
                editable=False,
                help_text="places in its book are counted by its group's sequence, plus this",
            ),
        ),
        migrations.AddField(
            model_name="instrument",
            name="status_reason",
            field=models.CharField(
                blank=True,
                default="",
                db_default="",
                editable=False,
                help_text="what the last operator who changed the status said",
                max_length=200,
            ),
        ),
        migrations.AlterField(
            model_name="instrument",
            name="group",
            field=models.ForeignKey(
                blank=True,
                help_text="the worker that matches it; empty: by consistent hashing; changed by a move",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                to="matching.symbolgroup",
            ),
        ),
        migrations.AlterField(
            model_name="instrument",
            name="status",
            field=models.CharField(
                choices=[
                    ("TRADING", "TRADING"),
                    ("POST_ONLY", "POST_ONLY"),
                    ("CANCEL_ONLY", "CANCEL_ONLY"),
                    ("HALTED", "HALTED"),
                ],
                default="TRADING",
                editable=False,
                help_text="changed by the market's actions, which pass through its matcher",
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="order",
            name="priority",
            field=models.BigIntegerField(
                help_text="its place: the group's sequence at which it took it, plus the market's place offset",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="Move",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=exchange.base.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "released",
                    models.BigIntegerField(
                        help_text="sequence of the Release in the journal of the group it left"
                    ),
                ),
                (
                    "adopted",
                    models.BigIntegerField(help_text="sequence of the Adopt in the journal of its new group"),
                ),
                ("reason", models.CharField(max_length=200)),
                ("by", models.CharField(help_text="who moved it", max_length=254)),
                ("trace_id", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "from_group",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="matching.symbolgroup",
                    ),
                ),
                (
                    "instrument",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="moves",
                        to="trading.instrument",
                    ),
                ),
                (
                    "to_group",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="matching.symbolgroup",
                    ),
                ),
            ],
            options={"ordering": ["-id"]},
        ),
        migrations.RunSQL(SQL),
    ]
