"""What the relay needs to know of an event it could not send, and which events our consumers have handled."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="outboxevent",
            name="next_try_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="outboxevent",
            name="reason",
            field=models.CharField(blank=True, db_default="", default="", max_length=200),
        ),
        migrations.AlterField(
            model_name="outboxevent",
            name="status",
            field=models.CharField(
                choices=[
                    ("PENDING", "Pending"),
                    ("PUBLISHED", "Published"),
                    ("FAILED", "Failed"),
                    ("DISCARDED", "Discarded"),
                ],
                db_default="PENDING",
                default="PENDING",
                max_length=10,
            ),
        ),
        migrations.AddIndex(
            model_name="outboxevent",
            index=models.Index(
                condition=models.Q(("published_at__isnull", True), ("tries__gt", 0)),
                fields=["topic", "key", "id"],
                name="outbox_held",
            ),
        ),
        migrations.CreateModel(
            name="RelayPosition",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("floor", models.BigIntegerField(db_default=0, default=0)),
            ],
        ),
        migrations.CreateModel(
            name="HandledEvent",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "group", "event_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("group", models.CharField(max_length=40)),
                ("event_id", models.UUIDField()),
                ("handled_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
    ]
