"""`manage.py bench` on an installation of its own, small: what it prints, and that orders really traded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exchange.embedded.stack import PROJECT

PATIENCE = 240.0


def bench(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "bench", *arguments],
        cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(home)},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )


def by_figure(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {target["figure"]: target for target in result["targets"]}


@pytest.mark.long
@pytest.mark.timeout(PATIENCE + 30)
def test_a_small_run(tmp_path: Path) -> None:
    names = ["single", "orderbook", "batch", "limit", "recovery"]
    done = bench("--json", "--seconds", "1", "--resting", "1000", "--only", *names, home=tmp_path)
    assert done.returncode in (0, 1), done.stderr  # how fast it is says nothing here
    report = json.loads(done.stdout)
    assert report["met"] is (done.returncode == 0)
    assert report["symbols"] == ["BTC/USDT", "ETH/USDT"]
    assert {report["postgres"][name] for name in ("fsync", "synchronous_commit", "full_page_writes")} == {
        "on"
    }
    assert report["machine"]["cores"] >= 1

    results = {result["name"]: result for result in report["results"]}
    assert list(results) == names
    for name in ("single", "orderbook", "batch"):
        result = results[name]
        assert "errors" not in result, result
        assert result["requests_per_second"] > 0
        assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["max"]
        assert result["cpu"]["seconds"].keys() >= {"web", "postgres", "valkey", "matcher-alpha", "load"}
        assert result["cpu"]["per_1000"].keys() == result["cpu"]["seconds"].keys()
    for name in ("single", "batch"):
        result = results[name]
        assert by_figure(result)["acknowledged orders missing in PostgreSQL"]["met"]
        assert result["fills_per_second"] > 0
    assert results["batch"]["orders_per_second"] == pytest.approx(
        50 * results["batch"]["requests_per_second"]
    )
    assert results["limit"]["figures"]["rows of trading_trade"] > 0
    assert by_figure(results["limit"])["batch ÷ limit"]["measured"] > 0
    assert by_figure(results["recovery"])["resting orders"]["met"]
    assert by_figure(results["recovery"])["errors"]["met"]
    assert report["memory"]["web"]["peak"] > 0
    assert list(tmp_path.iterdir()) == [], "nothing is left"


@pytest.mark.long
@pytest.mark.timeout(PATIENCE + 30)
def test_the_feed(tmp_path: Path) -> None:
    done = bench("--feeds", "--json", "--seconds", "2", "--connections", "50", home=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    (result,) = report["results"]
    assert "errors" not in result, result
    assert result["figures"]["messages delivered a second"] > 0
    assert result["figures"]["books proved by their checksum"] > 0
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["max"]
    assert result["cpu"]["seconds"].keys() >= {"stream", "clients", "load"}
    missed = {target["figure"] for target in result["targets"] if not target["met"]}
    assert missed <= {"messages/s", "p99 ms"}, result["targets"]  # how fast it is says nothing here
    assert list(tmp_path.iterdir()) == [], "nothing is left"


@pytest.mark.long
@pytest.mark.timeout(2 * PATIENCE + 30)
def test_stops(tmp_path: Path) -> None:
    done = bench("--stops", "--json", "--seconds", "2", "--each", "100", home=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert "errors" not in result, result
    assert result["figures"]["triggers"] > 0
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["max"]
    assert result["cpu"]["seconds"].keys() >= {"stops", "postgres", "load"}
    by_name = by_figure(result)
    for figure in (
        "stops reached and not triggered",
        "triggers not of our ticks",
        "triggered without a command in the stream",
        "breaches found by verify",
    ):
        assert by_name[figure]["met"], by_name[figure]
    assert list(tmp_path.iterdir()) == [], "nothing is left"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--only", "everything"], "invalid choice: 'everything'"),
        (["--seconds", "0"], "must be from 0.5 to 600"),
        (["--feeds", "--url", "http://127.0.0.1:8080"], "not allowed with argument"),
        (["--stops", "--feeds"], "not allowed with argument"),
        (["--stops", "--each", "1"], "must be from 100 to"),
        (["--url", "http://192.0.2.1:8080"], "must be http:// and on this machine"),
    ],
)
def test_bad_usage_starts_nothing(arguments: list[str], line: str, tmp_path: Path) -> None:
    done = bench(*arguments, home=tmp_path)
    assert done.returncode == 2
    assert line in done.stderr
    assert list(tmp_path.iterdir()) == []
