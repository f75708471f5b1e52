import django.db.models.deletion
import marketdata.models.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("marketdata", "0001_candles"),
        ("trading", "0003_price_sources"),
    ]

    operations = [
        migrations.CreateModel(
            name="Price",
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
                ("price", marketdata.models.fields.PriceField(decimal_places=18, max_digits=36)),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("BINANCE_WS", "BINANCE_WS"),
                            ("BINANCE_REST", "BINANCE_REST"),
                            ("LAST_TRADE", "LAST_TRADE"),
                        ],
                        max_length=12,
                    ),
                ),
                ("stale", models.BooleanField(help_text="nobody vouched for it any more")),
                ("priced_at", models.DateTimeField(help_text="when it was heard, or traded")),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("price__gt", 0)), name="price_is_positive")
                ],
            },
        ),
        # A row is written each second: room on its page lets PostgreSQL leave the index alone.
        migrations.RunSQL(
            "ALTER TABLE marketdata_price SET (fillfactor = 50)",
            "ALTER TABLE marketdata_price RESET (fillfactor)",
        ),
    ]
