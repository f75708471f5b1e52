"""Work beside the order path: the sweep for lost commands, partitions ahead of need, checks of stops, candles.

Beat keeps its schedule in memory: every task may run again at any time, so there is nothing to remember
across restarts. Stops, the relay of events and post-trade risk have a queue and a worker each of their own.
"""

from __future__ import annotations

import logging
import os
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.schedules import crontab
from celery.signals import setup_logging, task_prerun, worker_ready
from django.db import close_old_connections

from exchange.base import celery_queues
from exchange.base.env import env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")

# Celery warns of root because of pickled tasks; ours are JSON, and in a container root is what there is.
warnings.filterwarnings("ignore", category=SecurityWarning)

NICE = {
    celery_queues.RELAY: 5,
    celery_queues.RISK: 10,
}  # they give way to who is on the order path, once they have started

app = Celery("exchange")
app.config_from_object("django.conf:settings", namespace="CELERY")
_EVENTS = {  # what lives on the event stream
    # The safety net: code that commits an event wakes the relay itself.
    "relay": {"task": "events.relay", "schedule": 0.1, "options": {"expires": 0.5}},
    "portfolios": {"task": "risk.value_portfolios", "schedule": 5.0, "options": {"expires": 5}},
    "positions": {"task": "risk.catch_up", "schedule": 60.0, "options": {"expires": 60}},
    "surveil": {"task": "risk.surveil", "schedule": 5.0, "options": {"expires": 5}},
    "rank-cases": {"task": "risk.rank_cases", "schedule": 900.0, "options": {"expires": 900}},
    "prune-surveillance": {"task": "risk.prune_surveillance", "schedule": 10.0, "options": {"expires": 10}},
}
app.conf.update(
    beat_schedule={
        **(_EVENTS if env.exchange_events == "on" and env.kafka_brokers else {}),
        # A sweep that could not start within its second is worth nothing: the next one sees the same.
        "sweep": {"task": "trading.sweep", "schedule": 1.0, "options": {"expires": 2}},
        "stops": {"task": "trading.check_stops", "schedule": 1.0, "options": {"expires": 1}},
        "cancel-due": {"task": "trading.cancel_due", "schedule": 1.0, "options": {"expires": 2}},
        "count-stops": {"task": "trading.count_stops", "schedule": 60.0, "options": {"expires": 60}},
        "wallet": {"task": "trading.wallet", "schedule": 1.0, "options": {"expires": 2}},
        "signatures": {"task": "keys.forget_signatures", "schedule": 20.0, "options": {"expires": 20}},
        "candles": {"task": "marketdata.aggregate", "schedule": 1.0, "options": {"expires": 2}},
        "depth": {
            "task": "marketdata.depth",
            "schedule": crontab(),
            "options": {"expires": 30},
        },
        "notifications": {"task": "notifications.tidy", "schedule": 60.0, "options": {"expires": 60}},
        "sessions": {"task": "members.forget_sessions", "schedule": 3600.0, "options": {"expires": 3600}},
        "approvals": {"task": "approvals.expire", "schedule": 60.0, "options": {"expires": 60}},
        "published": {"task": "events.drop_published", "schedule": 600.0, "options": {"expires": 600}},
        "seal": {"task": "audit.seal", "schedule": 1.0, "options": {"expires": 2}},
        "audit-heads": {"task": "audit.tell_heads", "schedule": 60.0, "options": {"expires": 60}},
        "seal-ledger": {"task": "trading.seal_ledger", "schedule": 2.0, "options": {"expires": 4}},
        "anchor-ledger": {"task": "trading.anchor_ledger", "schedule": 600.0, "options": {"expires": 600}},
        "partitions": {"task": "trading.ensure_partitions", "schedule": 600.0, "options": {"expires": 600}},
    },
    beat_scheduler="celery.beat:Scheduler",
    broker_connection_max_retries=None,
    task_default_queue=celery_queues.DEFAULT,
    task_routes={
        "trading.check_stops": {"queue": celery_queues.STOPS},
        "events.relay": {"queue": celery_queues.RELAY},
        "risk.*": {"queue": celery_queues.RISK},
    },
    worker_pool="solo",
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
)
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Celery configures no logging where this signal has a receiver: Django's settings have done it.

    Lines to say that the sweep ran, or came too late to be worth it, are left out; what goes wrong is logged above
    that level.
    """
    for name in ("celery.beat", "celery.worker.strategy", "celery.worker.request", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)


@task_prerun.connect
def keep_the_connection(**_: Any) -> None:
    """One that PostgreSQL has closed is replaced; a new one for each task would cost it more than most tasks do."""
    close_old_connections()


@worker_ready.connect
def settle_in(sender: Any, **_: Any) -> None:
    from exchange.base import metrics

    offsets = {
        celery_queues.STOPS: metrics.STOPS_OFFSET,
        celery_queues.RELAY: metrics.RELAY_OFFSET,
        celery_queues.RISK: metrics.RISK_OFFSET,
    }
    (queue,) = sender.app.amqp.queues.consume_from
    os.nice(NICE.get(queue, 0))
    metrics.serve(env.exchange_metrics_port + offsets.get(queue, metrics.CELERY_OFFSET))
