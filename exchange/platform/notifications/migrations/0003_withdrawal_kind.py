from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0002_sealed_phone"),
    ]

    operations = [
        migrations.AlterField(
            model_name="delivery",
            name="kind",
            field=models.CharField(
                choices=[
                    ("ORDER_FILLED", "Order filled"),
                    ("ORDER_PARTIALLY_FILLED", "Order partly filled"),
                    ("STOP_TRIGGERED", "Stop triggered"),
                    ("ORDER_REJECTED", "Order rejected"),
                    ("DEPOSIT", "Deposit"),
                    ("WITHDRAWAL", "Withdrawal"),
                    ("NEW_DEVICE", "Sign-in from a new device"),
                ],
                max_length=30,
            ),
        ),
        migrations.AlterField(
            model_name="notification",
            name="kind",
            field=models.CharField(
                choices=[
                    ("ORDER_FILLED", "Order filled"),
                    ("ORDER_PARTIALLY_FILLED", "Order partly filled"),
                    ("STOP_TRIGGERED", "Stop triggered"),
                    ("ORDER_REJECTED", "Order rejected"),
                    ("DEPOSIT", "Deposit"),
                    ("WITHDRAWAL", "Withdrawal"),
                    ("NEW_DEVICE", "Sign-in from a new device"),
                ],
                max_length=30,
            ),
        ),
        migrations.AlterField(
            model_name="preference",
            name="kind",
            field=models.CharField(
                choices=[
                    ("ORDER_FILLED", "Order filled"),
                    ("ORDER_PARTIALLY_FILLED", "Order partly filled"),
                    ("STOP_TRIGGERED", "Stop triggered"),
                    ("ORDER_REJECTED", "Order rejected"),
                    ("DEPOSIT", "Deposit"),
                    ("WITHDRAWAL", "Withdrawal"),
                    ("NEW_DEVICE", "Sign-in from a new device"),
                ],
                max_length=30,
            ),
        ),
        migrations.AlterField(
            model_name="texttemplate",
            name="kind",
            field=models.CharField(
                choices=[
                    ("ORDER_FILLED", "Order filled"),
                    ("ORDER_PARTIALLY_FILLED", "Order partly filled"),
                    ("STOP_TRIGGERED", "Stop triggered"),
                    ("ORDER_REJECTED", "Order rejected"),
                    ("DEPOSIT", "Deposit"),
                    ("WITHDRAWAL", "Withdrawal"),
                    ("NEW_DEVICE", "Sign-in from a new device"),
                    ("DIGEST", "Digest"),
                ],
                max_length=30,
            ),
        ),
    ]
