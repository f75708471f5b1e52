"""What the pre-trade gate costs: the load of single orders with every ceiling set, none of which is reached.

The gate's time is its own; the round trip to Redis that it shares with the rate limits is shown beside it.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.parser import text_string_to_metric_families

from exchange.bench.installation import Place
from exchange.bench.result import Result

GATE, CONSULT = "exchange_gate_seconds", "exchange_consult_seconds"
FAR = 10**15

_LIMITS = """
    INSERT INTO risk_limit (symbol, currency, max_open_orders, max_order_notional, max_daily_notional,
                            max_position, price_band, max_risk_score, updated_at)
    SELECT symbol, '', 1000000000, %(far)s, %(far)s, %(far)s, 9, 100, now() FROM trading_instrument
    UNION ALL SELECT '', code, NULL, %(far)s, %(far)s, NULL, NULL, NULL, now() FROM trading_asset
    UNION ALL SELECT '', '', 1000000000, NULL, NULL, NULL, NULL, NULL, now()"""


Buckets = dict[tuple[str, float], float]


class GateWatch:
    """How long the gate took for an intake batch in the measured window, as the web process has counted it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._marks: list[Buckets] = []

    def event(self, name: str) -> None:
        self._marks.append(self._buckets())

    def figures(self) -> dict[str, float]:
        return {
            f"{what} p{share} ms": self.quantile(histogram, share / 100)
            for what, histogram in (("gate", GATE), ("shared round trip", CONSULT))
            for share in (50, 99)
        }

    def quantile(self, histogram: str, share: float) -> float:
        """In milliseconds, between the two marks; interpolated in its bucket."""
        begin, end = self._marks
        counts = {
            bound: count - begin.get((name, bound), 0.0)
            for (name, bound), count in sorted(end.items())
            if name == histogram
        }
        wanted = share * max(counts.values(), default=0.0)
        lower = below = 0.0
        for bound, count in counts.items():
            if wanted and count >= wanted:
                return 1000 * (lower + (bound - lower) * (wanted - below) / (count - below))
            lower, below = bound, count
        return 0.0

    def _buckets(self) -> Buckets:
        port = int(self._place.environment["EXCHANGE_METRICS_PORT"])
        connection = http.client.HTTPConnection(self._place.host, port, timeout=10)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        return {
            (family.name, float(sample.labels["le"])): sample.value
            for family in text_string_to_metric_families(text)
            if family.name in (GATE, CONSULT)
            for sample in family.samples
            if sample.name == f"{family.name}_bucket"
        }


@contextmanager
def limited(place: Place) -> Iterator[None]:
    """Every ceiling, far away, for all users."""
    place.connection.execute(_LIMITS, {"far": FAR})
    try:
        yield
    finally:
        place.connection.execute("DELETE FROM risk_limit WHERE user_id IS NULL AND institution_id IS NULL")


def compare(limited: Result, plain: Result) -> None:
    """What the gate adds to the same load without it; the machine's drift from one to the other is in it too."""
    if limited.cpu is not None and plain.cpu is not None:
        more = sum(limited.cpu.per_1000.values()) - sum(plain.cpu.per_1000.values())
        limited.figures["CPU s added per 1,000 orders"] = round(more, 3)
