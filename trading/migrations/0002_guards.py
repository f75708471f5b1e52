from pathlib import Path

from django.db import migrations

SQL = (Path(__file__).parent / "sql" / "ledger.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [("trading", "0001_initial")]

    operations = [migrations.RunSQL(SQL)]
