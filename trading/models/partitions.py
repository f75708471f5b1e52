"""Which tables are partitioned, and how (docs/decisions/004)."""

from __future__ import annotations

from exchange.base.partitions import Partitioned
from exchange.platform.audit.partitions import TABLES as AUDIT

_guard = "SELECT guard_table('{{partition}}', '{table}')"

TABLES = [
    Partitioned("trading_order", "month", (_guard.format(table="trading_order"),), "WITH (fillfactor = 70)"),
    Partitioned(
        "trading_trade",
        "day",
        (
            _guard.format(table="trading_trade"),
            "CREATE UNIQUE INDEX {partition}_number ON {partition} (instrument_id, number)",
        ),
    ),
    Partitioned(
        "trading_transaction",
        "month",
        (_guard.format(table="trading_transaction"), "SELECT note_unsealed_in('{partition}')"),
    ),
    Partitioned("trading_posting", "month", (_guard.format(table="trading_posting"),)),
    Partitioned("events_outboxevent", "block"),
    *AUDIT,
]
