"""Other packages read trading through its read views: none of their SQL names one of its tables."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
VIEWS = ROOT / "trading" / "migrations" / "sql" / "read_views.sql"


def sources(package: str) -> list[Path]:
    return [
        path
        for pattern in ("*.py", "*.sql")
        for path in sorted((ROOT / package).rglob(pattern))
        if "migrations" not in path.relative_to(ROOT).parts
    ]


def test_market_data_and_risk_name_no_table_of_trading() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for package in ("marketdata", "risk")
        for path in sources(package)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if "trading_" in line
    ]
    assert found == []


def test_each_view_that_is_named_is_there_and_each_that_is_there_is_named() -> None:
    made = set(re.findall(r"^CREATE VIEW (read_\w+)", VIEWS.read_text(), re.MULTILINE))
    packages = ("marketdata", "risk", "exchange")
    named = {
        name
        for package in packages
        for path in sources(package)
        for name in re.findall(r"(?:FROM|JOIN) \(?(read_\w+)", path.read_text())
    }
    assert named == made
