"""Work beside the order path: the sweep for lost commands, partitions ahead of need, checks of stops, candles.

Beat keeps its schedule in memory: every task may run again at any time, so there is nothing to remember
across restarts. Stops have a queue and a worker of their own.
"""

from __future__ import annotations

import logging
import os
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.schedules import crontab
from celery.signals import setup_logging, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")

# Celery warns of root because of pickled tasks; ours are JSON, and in a container root is what there is.
warnings.filterwarnings("ignore", category=SecurityWarning)

DEFAULT_QUEUE, STOPS_QUEUE = "celery", "stops"

app = Celery("exchange")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    beat_schedule={
        # A sweep that could not start within its second is worth nothing: the next one sees the same.
        "sweep": {"task": "trading.sweep", "schedule": 1.0, "options": {"expires": 2}},
        "stops": {"task": "trading.check_stops", "schedule": 1.0, "options": {"expires": 1}},
        "count-stops": {"task": "trading.count_stops", "schedule": 60.0, "options": {"expires": 60}},
        "candles": {"task": "marketdata.aggregate", "schedule": 1.0, "options": {"expires": 2}},
        "depth": {"task": "marketdata.depth", "schedule": crontab(), "options": {"expires": 30}},
        "partitions": {"task": "trading.ensure_partitions", "schedule": 600.0, "options": {"expires": 600}},
    },
    beat_scheduler="celery.beat:Scheduler",
    broker_connection_max_retries=None,
    task_default_queue=DEFAULT_QUEUE,
    task_routes={"trading.check_stops": {"queue": STOPS_QUEUE}},
    worker_pool="solo",
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
)
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Celery configures no logging where this signal has a receiver: Django's settings have done it.

    Three lines a second to say that the sweep ran are left out; what goes wrong is logged above that level.
    """
    for name in ("celery.beat", "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)


@worker_ready.connect
def serve_metrics(sender: Any, **_: Any) -> None:
    from exchange import metrics
    from exchange.env import env

    stops = STOPS_QUEUE in sender.app.amqp.queues.consume_from
    metrics.serve(env.exchange_metrics_port + (metrics.STOPS_OFFSET if stops else metrics.CELERY_OFFSET))
