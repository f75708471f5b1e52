"""Limits have versions that take effect at a time of their own."""

from __future__ import annotations

import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("approvals", "0001_initial"), ("risk", "0003_surveillance")]

    operations = [
        migrations.RemoveConstraint(model_name="limit", name="one_limit_a_scope"),
        migrations.AddField(
            model_name="limit",
            name="effective_from",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                default=django.utils.timezone.now,
                help_text="UTC; empty: at once",
            ),
        ),
        migrations.AddField(
            model_name="limit",
            name="approval",
            field=models.ForeignKey(
                editable=False,
                help_text="who asked for it and who approved it",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="approvals.approval",
            ),
        ),
    ]
