import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("members", "0003_branding"),
    ]

    operations = [
        migrations.CreateModel(
            name="DailyVolume",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("symbol", models.CharField(max_length=40)),
                ("user", models.UUIDField()),
                ("trades", models.PositiveBigIntegerField()),
                ("bought_quantity", models.DecimalField(decimal_places=18, max_digits=60)),
                ("bought_notional", models.DecimalField(decimal_places=18, max_digits=60)),
                ("sold_quantity", models.DecimalField(decimal_places=18, max_digits=60)),
                ("sold_notional", models.DecimalField(decimal_places=18, max_digits=60)),
                (
                    "institution",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="members.institution",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "symbol", "institution", "user"),
                        name="daily_volume_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
    ]
