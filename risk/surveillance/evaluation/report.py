"""The score as a table and as a JSON document."""

from __future__ import annotations

from typing import Any

from risk.surveillance.evaluation.score import DURATION, TUNED_ON, Line, Score

HEAD = f"{'kind':18} {'size':>4} {'injected':>8} {'recall':>7} {'findings':>8} {'precision':>9}"


def as_table(score: Score, seed: int) -> list[str]:
    lines = [HEAD]
    for (kind, size), line in sorted(score.lines.items()):
        lines.append(
            f"{kind:18} {size:4} {line.injected:8} {_share(line.recall):>7} "
            f"{line.findings:8} {_share(line.precision):>9}"
        )
    total = _total(score)
    lines.append(
        f"{'all':18} {'':4} {total.injected:8} {_share(total.recall):>7} "
        f"{total.findings:8} {_share(total.precision):>9}"
    )
    lines.append(
        f"{score.rounds} rounds of {DURATION // 3600} hours from seed {seed}: {score.trades} trades, {score.orders} "
        f"orders in the book; {score.accused} of {score.honest} honest users named. "
        f"Thresholds were tuned on seeds {TUNED_ON[0]} to {TUNED_ON[-1]}."
    )
    return lines


def as_document(score: Score, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "rounds": score.rounds,
        "tuned_on": [TUNED_ON[0], TUNED_ON[-1]],
        "trades": score.trades,
        "orders": score.orders,
        "honest_users": score.honest,
        "honest_users_named": score.accused,
        "lines": [
            {"kind": str(kind), "size": size, **_figures(line)}
            for (kind, size), line in sorted(score.lines.items())
        ],
        "all": _figures(_total(score)),
    }


def _total(score: Score) -> Line:
    total = Line()
    for line in score.lines.values():
        total.injected += line.injected
        total.recalled += line.recalled
        total.findings += line.findings
        total.true += line.true
    return total


def _figures(line: Line) -> dict[str, Any]:
    return {
        "injected": line.injected,
        "recalled": line.recalled,
        "findings": line.findings,
        "true": line.true,
        "recall": None if line.recall is None else round(line.recall, 4),
        "precision": None if line.precision is None else round(line.precision, 4),
    }


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
