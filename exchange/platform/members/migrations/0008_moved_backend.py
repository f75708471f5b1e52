"""Sessions name the backend that signed their user in by its module, which has moved: staff stay signed in."""

from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import migrations

BEFORE = "exchange.members.backends.RoleBackend"
NOW = "exchange.platform.members.backends.RoleBackend"


def rename(apps, before, now):
    store = SessionStore()
    for row in apps.get_model("sessions", "Session").objects.iterator():
        content = store.decode(row.session_data)
        if content.get(BACKEND_SESSION_KEY) == before:
            row.session_data = store.encode({**content, BACKEND_SESSION_KEY: now})
            row.save(update_fields=["session_data"])


class Migration(migrations.Migration):
    dependencies = [("members", "0007_enrolment_and_demo"), ("sessions", "0001_initial")]
    operations = [
        migrations.RunPython(
            lambda apps, editor: rename(apps, BEFORE, NOW),
            lambda apps, editor: rename(apps, NOW, BEFORE),
        )
    ]
