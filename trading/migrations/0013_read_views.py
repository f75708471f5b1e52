"""Views for the packages that read trading by SQL, so that tables can change behind them."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

SQL = (Path(__file__).parent / "sql" / "read_views.sql").read_text()
DROP = """
    DROP VIEW read_asset, read_instrument, read_market, read_trade, read_order, read_open_order, read_book_level,
         read_pending_command, read_balance, read_posting"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0012_orders_of_a_market")]

    operations = [migrations.RunSQL(SQL, DROP)]
