import django.contrib.postgres.indexes
import django.db.models.deletion
import marketdata.models.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("trading", "0003_price_sources"),
    ]

    operations = [
        migrations.CreateModel(
            name="CandleCursor",
            fields=[
                (
                    "instrument",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="trading.instrument",
                    ),
                ),
                ("number", models.BigIntegerField(default=0)),
                (
                    "price",
                    marketdata.models.fields.PriceField(
                        decimal_places=18, help_text="of that trade", max_digits=36, null=True
                    ),
                ),
                ("checked_at", models.DateTimeField(help_text="when there was no trade beyond it")),
            ],
        ),
        migrations.CreateModel(
            name="Candle",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "interval",
                    models.CharField(
                        choices=[
                            ("1m", "1 minute"),
                            ("5m", "5 minutes"),
                            ("15m", "15 minutes"),
                            ("1h", "1 hour"),
                            ("4h", "4 hours"),
                            ("1d", "1 day"),
                        ],
                        max_length=3,
                    ),
                ),
                ("start", models.DateTimeField()),
                ("open", marketdata.models.fields.PriceField(decimal_places=18, max_digits=36)),
                ("high", marketdata.models.fields.PriceField(decimal_places=18, max_digits=36)),
                ("low", marketdata.models.fields.PriceField(decimal_places=18, max_digits=36)),
                ("close", marketdata.models.fields.PriceField(decimal_places=18, max_digits=36)),
                (
                    "volume",
                    marketdata.models.fields.VolumeField(
                        decimal_places=18, help_text="in the base asset", max_digits=48
                    ),
                ),
                (
                    "quote_volume",
                    marketdata.models.fields.VolumeField(
                        decimal_places=18, help_text="in the quote asset", max_digits=48
                    ),
                ),
                ("trades", models.BigIntegerField()),
                ("first_number", models.BigIntegerField(help_text="the lowest number of its trades")),
                ("last_number", models.BigIntegerField(help_text="the highest")),
                (
                    "instrument",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="trading.instrument",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("instrument", "interval", "start"), name="one_candle"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("first_number__lte", models.F("last_number")),
                            ("high__gte", models.F("open")),
                            ("low__gt", 0),
                            ("low__lte", models.F("open")),
                            ("trades__gt", 0),
                            ("volume__gt", 0),
                            ("high__gte", models.F("close")),
                            ("low__lte", models.F("close")),
                        ),
                        name="candle_is_sound",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DepthSnapshot",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("taken_at", models.DateTimeField()),
                (
                    "sequence",
                    models.BigIntegerField(
                        help_text="of the book's group; empty: added up from orders", null=True
                    ),
                ),
                ("bids", models.JSONField()),
                ("asks", models.JSONField()),
                (
                    "instrument",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="trading.instrument",
                    ),
                ),
            ],
            options={
                "indexes": [
                    django.contrib.postgres.indexes.BrinIndex(fields=["taken_at"], name="depth_taken_at")
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("instrument", "taken_at"), name="one_depth_snapshot")
                ],
            },
        ),
        # The running candles are written each second: room on their page lets PostgreSQL leave the indexes alone.
        migrations.RunSQL(
            "ALTER TABLE marketdata_candle SET (fillfactor = 70)",
            "ALTER TABLE marketdata_candle RESET (fillfactor)",
        ),
    ]
