"""How fast the back office's lists are with many millions of orders:

    python -m tests.simulation.big_admin --orders 10000000 [--trades N] [--users N] [--days N] [--folder DIR] [--json]

Starts a PostgreSQL of its own in a temporary folder and fills orders and trades by INSERT … SELECT generate_series,
with triggers off: they apply holds and postings, and there are none here. Then it opens pages as staff through
Django's test client, and removes everything. A figure is the middle one of five, after a first one that is shown apart:
that one pays for templates, plans and pages that are not in memory. Exit code 0: done; 1: a page was wrong or was
stopped; 2: bad usage or no room.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

BYTES_AN_ORDER = 1_200  # with its indexes, its share of trades and the log of writing it
TRIES = 5
PAGES_DOWN = 20
ENOUGH = 5_000_000  # orders, for whole pages of everything


class Figure(NamedTuple):
    """Milliseconds of whole pages; `database` is the part of its statements."""

    page: str
    rows: int
    first: float
    middle: float
    database: float
    fault: str


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=_count, default=10_000_000)
    parser.add_argument("--trades", type=_count, help="default: three for ten orders")
    parser.add_argument("--users", type=_count, default=10_000)
    parser.add_argument("--days", type=_count, default=45, help="that the orders are spread over")
    parser.add_argument(
        "--folder", type=Path, help="where there is room (default: the system's temporary folder)"
    )
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args()
    options.trades = options.trades or max(1, options.orders * 3 // 10)
    folder = options.folder or Path(tempfile.gettempdir())
    if not folder.is_dir():
        parser.error(f"there is no folder {folder}")
    needed, free = options.orders * BYTES_AN_ORDER, shutil.disk_usage(folder).free
    if needed > free:
        parser.error(f"{options.orders} orders need {needed >> 30} GiB in {folder}; {free >> 30} are free")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends, and the folder goes
    home = Path(tempfile.mkdtemp(prefix="big-admin-", dir=folder))
    try:
        return _run(home, options)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _count(text: str) -> int:
    number = int(text.replace("_", ""))
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _run(home: Path, options: argparse.Namespace) -> int:
    from exchange.embedded.stack import Stack, free_ports

    with Stack(
        home, {**free_ports(), "EXCHANGE_EVENTS": "off", "EXCHANGE_ALLOWED_HOSTS": "testserver"}
    ) as stack:
        stack.prepare()
        os.environ |= {**stack.env, "DJANGO_SETTINGS_MODULE": "exchange.settings"}
        import django

        django.setup()
        from django.test.utils import setup_test_environment

        from tests.simulation import big_tables

        setup_test_environment()  # so that an answer has its context
        facts = big_tables.fill(stack.superuser(), options, say)
        figures = _figures(whole_pages=options.orders >= ENOUGH)
    _tell(options, facts, figures)
    return 1 if any(figure.fault for figure in figures) else 0


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def _figures(*, whole_pages: bool) -> list[Figure]:
    """With `whole_pages` there are enough rows for each."""
    from django.urls import reverse

    from exchange.platform.members.models import Institution, Role, User
    from tests.staff import signed_in, staff
    from trading.models import Instrument, Order, Trade

    everybody = signed_in(staff())
    theirs = {
        code: signed_in(staff(Role.INSTITUTION_ADMIN, Institution.objects.get(code=code)))
        for code in ("large", "small", "empty")
    }
    orders, trades = reverse("admin:trading_order_changelist"), reverse("admin:trading_trade_changelist")
    common, rare = (Instrument.objects.get(symbol=symbol).pk for symbol in ("BTC/USDT", "ETH/BTC"))
    last = Order.objects.order_by("-id")[0]
    middle = Order.objects.filter(number__gte=last.number // 2, id__lt=last.pk).order_by("id")[0]
    trade = Trade.objects.order_by("-id")[1000]
    small = User.objects.filter(institution__code="small", role=Role.TRADER)[0]
    pages: list[tuple[str, Any, str, int]] = [
        ("orders: first page", everybody, orders, 50),
        ("orders: a page in the middle", everybody, f"{orders}?p=after~{middle.pk}", 50),
        ("orders: the page before that", everybody, f"{orders}?p=before~{middle.pk}", 50),
        ("orders: past hour", everybody, f"{orders}?time=hour", 50),
        ("orders: past 7 days, cancelled", everybody, f"{orders}?time=week&status=CANCELLED", 50),
        ("orders: not closed", everybody, f"{orders}?status=open", 50),
        ("orders: rejected (1 in 1,000)", everybody, f"{orders}?status=REJECTED", 50),
        ("orders: pending (none)", everybody, f"{orders}?status=PENDING", 0),
        ("orders: a common instrument", everybody, f"{orders}?instrument__id__exact={common}", 50),
        ("orders: a rare instrument (1 in 100,000)", everybody, f"{orders}?instrument__id__exact={rare}", 50),
        ("orders: search by e-mail", everybody, f"{orders}?q={small.email}", 50),
        ("orders: search by order id", everybody, f"{orders}?q={middle.pk}", 1),
        ("orders: search by trade id", everybody, f"{orders}?q={trade.pk}", 2),
        ("orders: search by client order id", everybody, f"{orders}?q={middle.client_order_id}", 1),
        (
            "orders: search by e-mail and client order id",
            everybody,
            f"{orders}?q={middle.user.email}+{middle.client_order_id}",
            1,
        ),
        ("orders: search by number", everybody, f"{orders}?q={middle.number}", 1),
        ("orders: search for nothing there is", everybody, f"{orders}?q=no-such-order", 0),
        ("orders: first page, staff of a large institution", theirs["large"], orders, 50),
        ("orders: first page, staff of a small one (1 in 1,000 users)", theirs["small"], orders, 50),
        ("orders: first page, staff of one without orders", theirs["empty"], orders, 0),
        ("orders: not closed, staff of a small one", theirs["small"], f"{orders}?status=open", -1),
        ("orders: search by client order id, staff of a small one", theirs["small"], f"{orders}?q=c-1", -1),
        ("trades: first page", everybody, trades, 50),
        ("trades: search by e-mail", everybody, f"{trades}?q={small.email}", 50),
        ("trades: search by number", everybody, f"{trades}?q={trade.number}", -1),
        ("trades: first page, staff of a small one", theirs["small"], trades, 50),
        ("order page", everybody, reverse("admin:trading_order_change", args=[middle.pk]), -1),
        (
            "search box: client order id",
            everybody,
            f"{reverse('backoffice-search')}?q={middle.client_order_id}",
            -1,
        ),
        ("dashboard", everybody, reverse("backoffice-dashboard"), -1),
    ]
    figures = [
        _timed(name, client, address, rows if whole_pages or rows != 50 else -1)
        for name, client, address, rows in pages
    ]
    return [*figures, _walk(everybody, orders)]


def _timed(name: str, client: Any, address: str, expected: int) -> Figure:
    """`expected` rows; -1: whatever there is."""
    times, database, rows, fault = [], [], 0, ""
    for _ in range(TRIES + 1):
        spent, sql, rows, fault = _opened(client, address)
        times.append(spent)
        database.append(sql)
    if not fault and expected >= 0 and rows != expected:
        fault = f"{rows} rows instead of {expected}"
    figure = Figure(
        name, rows, times[0], statistics.median(times[1:]), statistics.median(database[1:]), fault
    )
    say(f"{name}: {figure.middle:.0f} ms {fault}")
    return figure


def _walk(client: Any, address: str) -> Figure:
    """Page after page, as a person goes on."""
    times, current = [], address
    for _ in range(PAGES_DOWN):
        started = time.perf_counter()
        answer = client.get(current)
        times.append(1000 * (time.perf_counter() - started))
        current = address + answer.context["cl"].older
    return Figure(f"orders: {PAGES_DOWN} pages on end, each", 50, times[0], statistics.median(times), 0.0, "")


def _opened(client: Any, address: str) -> tuple[float, float, int, str]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        started = time.perf_counter()
        answer = client.get(address)
        body = answer.content.decode()
        spent = 1000 * (time.perf_counter() - started)
    changelist = (answer.context or {}).get("cl")
    rows = len(changelist.result_list) if changelist is not None else 0
    counted = [each["sql"] for each in queries if "COUNT(" in each["sql"] and "trading_order" in each["sql"]]
    fault = f"status {answer.status_code}" if answer.status_code != 200 else ""
    fault = "stopped: took too long" if "takes too long" in body else fault
    fault = f"it counts: {counted[0]}" if counted else fault
    return spent, 1000 * sum(float(each["time"]) for each in queries), rows, fault


def _tell(options: argparse.Namespace, facts: dict[str, Any], figures: list[Figure]) -> None:
    if options.as_json:
        print(json.dumps({**facts, "pages": [figure._asdict() for figure in figures]}, indent=2))
        return
    print(
        ", ".join(
            f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
            for name, value in facts.items()
        )
    )
    print(f"{'page':<62}{'rows':>5}{'first ms':>10}{'ms':>8}{'SQL ms':>8}")
    for figure in figures:
        row = f"{figure.page:<62}{figure.rows:>5}{figure.first:>10.0f}{figure.middle:>8.0f}{figure.database:>8.0f}"
        print(f"{row}  {figure.fault}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
