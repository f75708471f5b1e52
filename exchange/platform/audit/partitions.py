"""How the audit log is cut: by month."""

from __future__ import annotations

from exchange.base.partitions import Partitioned

_guard = "SELECT audit_guard_table('{{partition}}', '{table}')"

TABLES = [
    Partitioned("audit_record", "month", (_guard.format(table="audit_record"),)),
    Partitioned(
        "audit_seal",
        "month",
        (
            _guard.format(table="audit_seal"),
            "CREATE UNIQUE INDEX {partition}_number ON {partition} (chain, number)",
        ),
    ),
]
