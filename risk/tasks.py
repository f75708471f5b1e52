"""What Celery does for risk, a little at a time, in a worker of its own."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from risk.models import valuation_queue
from risk.portfolio import positions, revaluation
from risk.surveillance import history, ranking, run

SECONDS = 0.3  # of the worker, for valuations at a time

log = structlog.get_logger(__name__)


@shared_task(name="risk.value_portfolios")
def value_portfolios() -> int:
    """Value the portfolios that are due; how many."""
    return revaluation.value_due(SECONDS)


@shared_task(name="risk.catch_up")
def catch_up() -> int:
    """Count trades into positions whose events did not come, and find who has no portfolio yet; how many
    trades."""
    counted = positions.catch_up()
    valuation_queue.enqueue_missing()
    if counted:
        log.info("trades counted without their events", trades=counted)
    return counted


@shared_task(name="risk.surveil")
def surveil() -> int:
    """Look at the markets whose turn it is; how many findings were raised."""
    return len(run.due(SECONDS).findings)


@shared_task(name="risk.rank_cases")
def rank_cases() -> int:
    """Order the queue of cases, where the extra for it is installed; how many have a rank."""
    try:
        return ranking.rank_cases()
    except ranking.ExtraMissing:
        return 0


@shared_task(name="risk.prune_surveillance")
def prune_surveillance() -> int:
    """Drop what surveillance need not keep any longer, a bounded number of rows; how many."""
    return history.prune(history.micros(timezone.now()))
