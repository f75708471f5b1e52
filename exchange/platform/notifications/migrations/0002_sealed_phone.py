"""Phone numbers become sealed: the column grows to text, then what stands in it is sealed row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django.core.validators
from django.db import migrations

import exchange.base.encryption
from exchange.platform.notifications.models import PHONE
from exchange.base.encryption import seal, unseal

PLACE = "notifications_usercontact.phone"


def _rewrite(schema_editor: Any, change: Callable[[str, str], str]) -> None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT user_id, phone FROM notifications_usercontact WHERE phone <> ''")
        cursor.executemany(
            "UPDATE notifications_usercontact SET phone = %s WHERE user_id = %s",
            [(change(phone, PLACE), user) for user, phone in cursor.fetchall()],
        )


def sealed(apps: Any, schema_editor: Any) -> None:
    _rewrite(schema_editor, seal)


def plain(apps: Any, schema_editor: Any) -> None:
    _rewrite(schema_editor, unseal)


class Migration(migrations.Migration):
    dependencies = [("notifications", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="usercontact",
            name="phone",
            field=exchange.base.encryption.EncryptedTextField(
                blank=True,
                help_text="with the country's code, such as +905551112233; empty: no SMS",
                max_length=16,
                validators=[
                    django.core.validators.RegexValidator(
                        PHONE, "Write it with the country's code: +905551112233."
                    )
                ],
            ),
        ),
        migrations.RunPython(sealed, plain),
    ]
