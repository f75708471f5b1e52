"""Every trigger and constraint that guards an invariant is there and in force, on each partition too.

Constraints are those of the models, found by Django; triggers are listed here, as migrations make them.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.apps import apps
from django.db.models import CheckConstraint, UniqueConstraint

from trading.models.partitions import TABLES
from trading.verify.check import Check, Rule

TRIGGERS = {
    "trading_account": [
        "account_delete_guard",
        "account_insert_guard",
        "account_truncate_guard",
        "account_update_guard",
    ],
    "trading_instrument": ["instrument_guard"],
    "trading_move": ["move_guard", "move_is_journalled", "move_truncate_guard"],
    "trading_order": [
        "holds_inserted",
        "holds_updated",
        "order_closed_guard",
        "order_delete_guard",
        "truncate_guard",
    ],
    "trading_trade": ["trade_guard", "truncate_guard"],
    "trading_transaction": [
        "adjustment_is_approved",
        "transaction_guard",
        "transactions_unsealed",
        "truncate_guard",
    ],
    "trading_adjustment": ["adjustment_guard", "truncate_guard"],
    "approvals_approval": [
        "approval_in_time",
        "approval_inserted",
        "approval_kept",
        "approval_not_truncated",
        "approval_unchanged",
    ],
    "trading_posting": ["posting_guard", "postings_inserted", "truncate_guard"],
    "trading_pendingcommand": ["holds_deleted", "holds_inserted", "holds_updated", "truncate_guard"],
    "trading_endofday": ["end_of_day_guard", "end_of_day_truncate_guard"],
    "trading_daytotal": ["day_total_guard", "day_total_truncate_guard"],
    "trading_solvencyproof": ["solvency_proof_guard", "solvency_proof_truncate_guard"],
    "trading_solvencylevel": ["solvency_level_guard"],
    "trading_solvencyleaf": ["solvency_leaf_guard"],
    "trading_ledgerseal": ["ledger_seal_guard", "ledger_seal_truncate_guard"],
    "audit_record": ["record_guard", "record_unsealed", "truncate_guard"],
    "audit_seal": ["seal_guard", "truncate_guard"],
    "audit_archive": ["archive_guard", "archive_truncate_guard"],
    "audit_archived": ["archived_guard", "archived_truncate_guard"],
    "audit_head": ["head_guard", "head_truncate_guard"],
    "trading_deposit": [
        "payment_begins",
        "payment_booked",
        "payment_guard",
        "payment_kept",
        "truncate_guard",
    ],
    "trading_withdrawal": [
        "holds_inserted",
        "holds_updated",
        "payment_begins",
        "payment_booked",
        "payment_guard",
        "payment_kept",
        "truncate_guard",
    ],
    "kyc_kycprofile": ["kyc_profile_changed"],
    "kyc_kyclevel": ["kyc_level_changed"],
    "ledger_movement": ["ledger_movement_applied", "movement_guard", "movement_truncate_guard"],
    "ledger_unbalanced": ["postings_balance", "unbalanced_guard", "unbalanced_truncate_guard"],
    "matching_journalbatch": ["journal_follows", "journal_guard", "journal_truncate_guard"],
    "risk_limit": ["limit_changed"],
    "risk_block": ["block_changed", "block_kept", "block_unchanged"],
    "risk_case": ["case_closed_guard", "case_kept"],
    "risk_alert": ["alert_closed_guard", "alert_kept"],
    "risk_casenote": ["note_closed_guard", "note_kept"],
}
ADDED_CHECKS = [("trading_posting", "posting_id_follows_transaction")]

_EVERY_TABLE = """
    every_table AS (
        SELECT expected.*, coalesce(tree.relid, to_regclass(expected.table_name)) AS relation
          FROM expected
          LEFT JOIN LATERAL pg_partition_tree(to_regclass(expected.table_name)) AS tree ON true)"""


def checks() -> list[Check]:
    return [
        Check(
            Rule("triggers", 0, "every trigger that guards an invariant is there and fires", "triggers"),
            _triggers(),
        ),
        Check(
            Rule("check_constraints", 0, "every check constraint is there and enforced", "constraints"),
            _checks(),
        ),
        Check(
            Rule("unique_constraints", 0, "every unique constraint is there and valid", "constraints"),
            _uniques(),
        ),
        Check(
            Rule("partitions", 0, "no row fell into a default partition", "tables", warning=True),
            " UNION ALL ".join(_misplaced(table.table) for table in TABLES),
        ),
    ]


def _triggers() -> str:
    expected = _values((table, name) for table, names in TRIGGERS.items() for name in names)
    return f"""
        WITH expected (table_name, name) AS (VALUES {expected}), {_EVERY_TABLE}
        SELECT CASE WHEN t.oid IS NULL THEN
                   format('%s: trigger %s is missing', coalesce(relation::text, table_name), name)
               WHEN t.tgenabled NOT IN ('O', 'A') THEN format('%s: trigger %s is disabled', relation, name)
               END AS breach
          FROM every_table
          LEFT JOIN pg_trigger t ON t.tgrelid = relation AND t.tgname = name"""


def _checks() -> str:
    expected = _values([*_of_models(CheckConstraint), *ADDED_CHECKS])
    return f"""
        WITH expected (table_name, name) AS (VALUES {expected}), {_EVERY_TABLE}
        SELECT CASE WHEN c.oid IS NULL THEN
                   format('%s: constraint %s is missing', coalesce(relation::text, table_name), name)
               WHEN NOT c.conenforced OR NOT c.convalidated THEN
                   format('%s: constraint %s is not enforced', relation, name)
               END AS breach
          FROM every_table
          LEFT JOIN pg_constraint c ON c.conrelid = relation AND c.conname = name"""


def _uniques() -> str:
    """By their index, which one with a condition has too."""
    return f"""
        SELECT CASE WHEN i.indexrelid IS NULL THEN
                   format('%s: unique index %s is missing', table_name, name)
               WHEN NOT i.indisunique OR NOT i.indisvalid THEN
                   format('%s: index %s is not valid', table_name, name)
               END AS breach
          FROM (VALUES {_values(_of_models(UniqueConstraint))}) AS expected (table_name, name)
          LEFT JOIN pg_index i ON i.indexrelid = to_regclass(name) AND i.indrelid = to_regclass(table_name)"""


def _of_models(kind: type[CheckConstraint] | type[UniqueConstraint]) -> list[tuple[str, str]]:
    """Table and name of each constraint."""
    return [
        (model._meta.db_table, constraint.name)
        for label in ("matching", "trading")
        for model in apps.get_app_config(label).get_models()
        for constraint in model._meta.constraints
        if isinstance(constraint, kind)
    ]


def _misplaced(table: str) -> str:
    return f"""
        SELECT CASE WHEN count(*) > 0 THEN
                   format('{table}_default: %s rows, partitions must be made ahead', count(*)) END AS breach
          FROM {table}_default"""


def _values(rows: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"('{first}', '{second}')" for first, second in rows)
