"""The kinds of a surveillance rule are those of the detectors; the column stays as it is."""

from __future__ import annotations

from django.db import migrations, models

import risk.models.surveillance


class Migration(migrations.Migration):
    dependencies = [("risk", "0004_terms")]

    operations = [
        migrations.AlterField(
            model_name="surveillancerule",
            name="kind",
            field=models.CharField(choices=risk.models.surveillance.abuse_kinds, max_length=20),
        ),
    ]
