"""The newest orders of a market, however rare it is, without a look at all others. Neither column of it ever changes."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("trading", "0011_ledger_seals")]

    operations = [
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                models.F("instrument"),
                models.OrderBy(models.F("id"), descending=True),
                name="order_instrument",
            ),
        ),
    ]
