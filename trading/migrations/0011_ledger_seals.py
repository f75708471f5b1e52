from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.functions.datetime
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "ledger_seals.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [("trading", "0010_books")]

    operations = [
        migrations.CreateModel(
            name="LedgerSeal",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("first", models.UUIDField()),
                ("last", models.UUIDField()),
                ("transactions", models.IntegerField()),
                ("entries", models.BinaryField()),
                ("before", models.BinaryField()),
                ("hash", models.BinaryField()),
                ("sealed_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={"indexes": [models.Index(fields=["first"], name="ledger_seal_first")]},
        ),
        migrations.CreateModel(
            name="LedgerUnsealed",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "ids",
                    django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), size=None),
                ),
                ("noted_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.RunSQL(SQL),
    ]
