"""Many orders and trades, made by the database itself, for `big_admin`. Django is set up.

Institutions: `large` has nine in ten users, `medium` the rest but one in a thousand, which `small` has; `empty` has
users who never ordered. One order in a thousand was rejected, one in a thousand rests, and one in 100,000 is of a
rare market.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from django.db import connection as connection_of_django

from exchange.base import partitions
from exchange.platform.members.models import Institution, User
from matching.models import SymbolGroup
from trading.models import Account, Asset, Instrument
from trading.models.partitions import TABLES

Say = Callable[[str], None]
AT_ONCE = 500_000

# Milliseconds and a number that differs within one of them, as a UUIDv7 of ours.
_FUNCTION = """
    CREATE FUNCTION big_id(ms bigint, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT (lpad(to_hex(ms), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0') || '8'
                || substr(md5(n::text), 1, 13) || '00')::uuid $$"""

_ORDERS = """
    INSERT INTO trading_order (id, number, user_id, instrument_id, client_order_id, side, type, time_in_force,
           post_only, prevention, price, quantity, remaining_quantity, filled_quantity, filled_notional, fee, status,
           reason, hold_account_id, receive_account_id, held, maker_fee_rate, taker_fee_rate, trace_id, created_at,
           updated_at, closed_at)
    SELECT big_id(ms, n), n, (%(users)s::uuid[])[1 + who], CASE WHEN n %% 100000 = 7 THEN %(rare)s
             WHEN n %% 4 = 0 THEN %(second)s ELSE %(first)s END,
           'c-' || n, CASE WHEN n %% 2 = 0 THEN 'BUY' ELSE 'SELL' END, 'LIMIT', 'GTC', false, 'CANCEL_NEWEST',
           50000 + n %% 1000, 1, CASE WHEN status = 'OPEN' THEN 1 ELSE 0 END,
           CASE WHEN status = 'FILLED' THEN 1 ELSE 0 END,
           CASE WHEN status = 'FILLED' THEN 50000 + n %% 1000 ELSE 0 END, 0, status, '',
           (%(accounts)s::bigint[])[1 + who], (%(accounts)s::bigint[])[1 + who], 0, 1000, 1500, '', at, at,
           CASE WHEN status = 'OPEN' THEN NULL ELSE at END
      FROM (SELECT n, %(start)s + n * %(span)s / %(orders)s AS ms, hashint8(n) & 2147483647 AS dice
              FROM generate_series(%(low)s::bigint, %(high)s::bigint) AS n) AS drawn,
           LATERAL (SELECT dice %% cardinality(%(users)s::uuid[]) AS who, to_timestamp(ms / 1000.0) AS at,
                           CASE WHEN dice %% 1000 = 1 THEN 'OPEN' WHEN dice %% 1000 = 2 THEN 'REJECTED'
                                WHEN dice %% 5 < 3 THEN 'CANCELLED' ELSE 'FILLED' END AS status) AS made"""
_KEYS = """
    INSERT INTO trading_clientorder (user_id, client_order_id, order_id, fingerprint)
    SELECT user_id, client_order_id, id, number FROM trading_order"""
_TRADES = """
    INSERT INTO trading_trade (id, number, instrument_id, price, quantity, buyer_order_id, seller_order_id, buyer_id,
           seller_id, is_buyer_maker, buyer_fee, seller_fee, executed_at)
    SELECT big_id(t.ms, n), n, b.instrument_id, b.price, 1, b.id, s.id, b.user_id, s.user_id, true, 0.001, 50,
           to_timestamp(t.ms / 1000.0)
      FROM (SELECT n, %(start)s + n * %(span)s / %(trades)s AS ms, (n * %(orders)s / %(trades)s) / 2 * 2 AS pick
              FROM generate_series(%(low)s::bigint, %(high)s::bigint) AS n) AS t
      JOIN big_sample b ON b.number = t.pick JOIN big_sample s ON s.number = t.pick + 1"""
_SAMPLE = """
    CREATE UNLOGGED TABLE big_sample AS
        SELECT number, id, user_id, instrument_id, price FROM trading_order WHERE number BETWEEN %(low)s AND %(high)s"""


def fill(superuser: str, options: argparse.Namespace, say: Say) -> dict[str, Any]:
    started = time.perf_counter()
    users, accounts, markets = _reference(options.users)
    now = datetime.now(UTC)
    begin = now - timedelta(days=options.days)
    _partitions(begin, now)
    facts: dict[str, Any] = {
        "users": users,
        "accounts": accounts,
        "first": markets[0],
        "second": markets[1],
        "rare": markets[2],
        "start": int(begin.timestamp() * 1000),
        "span": int((now - begin).total_seconds() * 1000),
        "orders": options.orders,
        "trades": options.trades,
    }
    database = connection_of_django.settings_dict["NAME"]
    with psycopg.connect(superuser, dbname=database, autocommit=True, prepare_threshold=None) as connection:
        for setting in ("fsync = off", "full_page_writes = off", "max_wal_size = '8GB'"):
            connection.execute(f"ALTER SYSTEM SET {setting}")  # nothing here is kept
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute(_FUNCTION)
        with _rebuilt(connection, "order_user", "order_instrument"):
            for low in range(1, options.orders + 1, AT_ONCE):
                high = min(low + AT_ONCE - 1, options.orders)
                connection.execute(_ORDERS, facts | {"low": low, "high": high})
                say(f"{high:,} orders")
        connection.execute("ALTER TABLE trading_clientorder DROP CONSTRAINT trading_clientorder_pkey")
        connection.execute(_KEYS)
        connection.execute("ALTER TABLE trading_clientorder ADD PRIMARY KEY (user_id, client_order_id)")
        say("client order ids")
        with _rebuilt(connection, "trade_buyer", "trade_seller"):
            for low in range(1, options.trades + 1, AT_ONCE):
                high = min(low + AT_ONCE - 1, options.trades)
                _trades(connection, facts, low, high)
                say(f"{high:,} trades")
        connection.execute("VACUUM (ANALYZE)")
        say("analysed")
        size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return {
        "orders": options.orders,
        "trades": options.trades,
        "users": options.users,
        "GiB": round(size[0] / 2**30, 1) if size else 0,
        "seconds to fill": round(time.perf_counter() - started),
    }


@contextmanager
def _rebuilt(connection: psycopg.Connection[Any], *indexes: str) -> Iterator[None]:
    """Without those indexes while rows come in: built afterwards, they are sorted once."""
    found = connection.execute(
        "SELECT pg_get_indexdef(name::regclass) FROM unnest(%s::text[]) AS name", [list(indexes)]
    ).fetchall()
    connection.execute(f"DROP INDEX {', '.join(indexes)}")
    yield
    for (definition,) in found:
        connection.execute(definition.replace(" ON ONLY ", " ON "))


def _trades(connection: psycopg.Connection[Any], facts: dict[str, Any], low: int, high: int) -> None:
    """Between neighbours among the orders, who are looked up in a copy with an index on the number."""
    step = facts["orders"] / facts["trades"]
    bounds = {"low": max(0, int(low * step) - 4), "high": int(high * step) + 4}
    connection.execute("DROP TABLE IF EXISTS big_sample")
    cursor = psycopg.ClientCursor(connection)
    cursor.execute(_SAMPLE, bounds)
    connection.execute("CREATE INDEX ON big_sample (number)")
    connection.execute("ANALYZE big_sample")
    connection.execute(_TRADES, facts | {"low": low, "high": high})
    connection.execute("DROP TABLE big_sample")


def _reference(count: int) -> tuple[list[str], list[int], list[int]]:
    """The users who order, an account of each, and the markets."""
    homes = {
        code: Institution.objects.create(code=code, name=code.title())
        for code in ("large", "medium", "small", "empty")
    }
    few = max(1, count // 1000)
    users = [
        User(
            email=f"trader{number:07d}@big.exchange",
            institution=homes["small" if number < few else "medium" if number < count // 10 else "large"],
        )
        for number in range(count)
    ]
    User.objects.bulk_create(users, batch_size=1000)
    User.objects.bulk_create(
        User(email=f"idle{number}@big.exchange", institution=homes["empty"]) for number in range(5)
    )
    assets = {code: Asset.objects.create(code=code, name=code, scale=8) for code in ("BTC", "ETH", "USDT")}
    group = SymbolGroup.objects.create(name="alpha")
    markets = [
        Instrument.objects.create(
            symbol=f"{base}/{quote}",
            base=assets[base],
            quote=assets[quote],
            tick_size=Decimal("0.01"),
            lot_size=Decimal("0.0001"),
            min_quantity=Decimal("0.0001"),
            max_quantity=Decimal(1000),
            min_notional=Decimal(1),
            group=group,
        )
        for base, quote in (("BTC", "USDT"), ("ETH", "USDT"), ("ETH", "BTC"))
    ]
    accounts = [Account(institution=user.institution, user=user, asset=assets["USDT"]) for user in users]
    Account.objects.bulk_create(accounts, batch_size=1000)
    return (
        [str(user.pk) for user in users],
        [account.pk for account in accounts],
        [market.pk for market in markets],
    )


def _partitions(begin: datetime, now: datetime) -> None:
    days = (now - begin).days + 2
    for table in TABLES:
        if table.table in ("trading_order", "trading_trade"):
            spans = days if table.span == "day" else days // 28 + 2
            existing = partitions._existing(table.table)
            for partition in partitions._wanted(table, begin, spans):
                if partition.name not in existing:
                    assert partitions._create(table, partition), f"no partition {partition.name}"
