"""How a source's connection is: written to the log when it changes and only then, and to the metrics always.

A source that is out of reach (a bank's network may let nothing out) is tried ever less often, up to once a
minute; chance spreads the tries of many.
"""

from __future__ import annotations

import random
import time

import structlog

from exchange.base import metrics
from marketdata.models.prices import Source

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds
QUIET = 60.0  # seconds between two lines about rubbish

log = structlog.get_logger(__name__)


class Link:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._up: bool | None = None
        self._wait = FIRST_WAIT
        self._complained_at = float("-inf")

    def up(self) -> None:
        """It answers with what it should."""
        if not self._up:
            self._up = True
            metrics.price_sources.labels(self._source).set(1)
            log.info("price source is up", source=self._source)

    def down(self, reason: object) -> None:
        if self._up is not False:
            self._up = False
            metrics.price_sources.labels(self._source).set(0)
            log.warning("price source is down", source=self._source, reason=str(reason) or repr(reason))

    def steady(self) -> None:
        """It has worked for long enough to be tried at once when it fails."""
        self._wait = FIRST_WAIT

    def wait(self) -> float:
        """Seconds until the next try; about twice as many the time after."""
        wait, self._wait = self._wait, min(2 * self._wait, LONGEST_WAIT)
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 - to spread, not to hide

    def reject(self, what: object) -> None:
        """It sent something that is no price."""
        metrics.rejected_prices.labels(self._source).inc()
        if time.monotonic() - self._complained_at > QUIET:
            self._complained_at = time.monotonic()
            log.warning("price source sent rubbish", source=self._source, what=str(what)[:200])
