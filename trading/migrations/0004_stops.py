from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0003_price_sources"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                condition=models.Q(("closed_at__isnull", True), ("stop_price__isnull", False)),
                fields=["instrument", "side", "stop_price"],
                name="order_stops",
            ),
        ),
        migrations.AddConstraint(
            model_name="pendingcommand",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "Trigger")), fields=("order_id",), name="one_trigger_at_a_time"
            ),
        ),
    ]
