from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def mark_demo(apps: Any, schema_editor: Any) -> None:
    """What was a demo before there was a mark stays one."""
    institutions = apps.get_model("members", "Institution").objects.filter(code="demo")
    operators = apps.get_model("members", "User").objects.filter(email="operator@demo.exchange")
    if institutions.exists() and operators.exists():
        apps.get_model("members", "DemoMark").objects.get_or_create(pk=1)


class Migration(migrations.Migration):
    dependencies = [("members", "0006_closing")]

    operations = [
        migrations.CreateModel(
            name="Enrolment",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("digest", models.CharField(max_length=64)),
                ("made_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="DemoMark",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("since", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="demo_mark_is_one")
                ]
            },
        ),
        migrations.RunPython(mark_demo, migrations.RunPython.noop, elidable=True),
    ]
