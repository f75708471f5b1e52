"""What each process counts, in Prometheus' form, and the port on which it is read.

Web serves EXCHANGE_METRICS_PORT, stream the next one, Celery +2, prices +3, Celery for stops +4, Celery for the
relay +5, consumers +6, Celery for risk +7; matchers from +10 on, in the order of their groups. With several web
workers the figures of all of them are added up through files (prometheus_client's multiprocess mode, which
`manage.py web` turns on), and the worker that got the port answers for all.
"""

from __future__ import annotations

import prometheus_client
import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector

from exchange.base.env import env

STREAM_OFFSET = 1
CELERY_OFFSET = 2
PRICES_OFFSET = 3
STOPS_OFFSET = 4
RELAY_OFFSET = 5
CONSUMERS_OFFSET = 6
RISK_OFFSET = 7
MATCHER_OFFSET = 10

log = structlog.get_logger(__name__)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_DELAYS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 2.5, 10.0, 60.0, 600.0)
_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

orders = Counter("exchange_orders", "Orders by what became of them at intake", ["outcome"])
fills = Counter("exchange_fills", "Trades settled")
commands = Counter("exchange_commands", "Commands applied by a matcher")
rebuilds = Counter("exchange_book_rebuilds", "Times a matcher threw its books away and rebuilt them")
swept = Counter("exchange_swept_commands", "Commands sent again because they were lost on the way")
stops_triggered = Counter("exchange_stops_triggered", "Stops that a price let go")
stops_rebuilt = Counter("exchange_stops_rebuilt", "Stops read from PostgreSQL into the watch list")

refusals = Counter("exchange_gate_refusals", "Orders the pre-trade gate did not let through", ["reason"])
gate_seconds = Histogram(
    "exchange_gate_seconds",
    "Time the pre-trade gate took for one intake batch, without the round trip it shares",
    buckets=_SECONDS,
)
consult_seconds = Histogram(
    "exchange_consult_seconds",
    "Round trip to Redis for one intake batch: rate limits and the gate's counts",
    buckets=_SECONDS,
)
letters = Counter("exchange_letters", "E-mails and SMS by what became of them", ["channel", "outcome"])

intake_batch = Histogram("exchange_intake_batch_orders", "Orders in one intake transaction", buckets=_COUNTS)
intake_seconds = Histogram("exchange_intake_seconds", "Time of one intake transaction", buckets=_SECONDS)
settlement_batch = Histogram(
    "exchange_settlement_batch_commands", "Commands in one settlement transaction", buckets=_COUNTS
)
settlement_seconds = Histogram(
    "exchange_settlement_seconds", "Time of one settlement transaction", buckets=_SECONDS
)
stops_check_seconds = Histogram(
    "exchange_stops_check_seconds", "Time of one check of what moved, with what it let go", buckets=_SECONDS
)

events_handled = Counter("exchange_events_handled", "Events handled by a consumer group", ["group"])
events_repeated = Counter("exchange_events_repeated", "Events that a group had handled before", ["group"])
events_failed = Counter("exchange_events_failed", "Failed tries to handle an event", ["group"])
events_dead = Counter("exchange_events_dead", "Events set aside as dead letters", ["group"])
events_lag = prometheus_client.Gauge("exchange_events_lag", "Messages a group has still to handle", ["group"])
events_seconds = Histogram(
    "exchange_events_seconds", "Time from an event to its handling committed", ["group"], buckets=_DELAYS
)

http_requests = Counter("exchange_http_requests", "Requests answered", ["method", "route", "status"])
http_seconds = Histogram("exchange_http_seconds", "Time to answer a request", ["route"], buckets=_SECONDS)
connections = prometheus_client.Gauge(
    "exchange_stream_connections", "Open WebSocket connections", multiprocess_mode="livesum"
)

wallet_calls = Counter("exchange_wallet_calls", "Calls of the bank's wallet service", ["path", "outcome"])

price_sources = prometheus_client.Gauge(
    "exchange_price_source_up", "1 while the source answers", ["source"], multiprocess_mode="livemax"
)
rejected_prices = Counter(
    "exchange_price_rejected", "What a source sent and was not accepted as a price", ["source"]
)


events_relayed = Counter("exchange_events_relayed", "Events of the outbox that Kafka has acknowledged")
events_refused = Counter("exchange_events_refused", "Times Kafka refused an event")
outbox_pending = prometheus_client.Gauge(
    "exchange_outbox_pending", "Events that wait to be sent", multiprocess_mode="livemax"
)
outbox_oldest_seconds = prometheus_client.Gauge(
    "exchange_outbox_oldest_seconds", "Age of the oldest of them", multiprocess_mode="livemax"
)
outbox_failed = prometheus_client.Gauge(
    "exchange_outbox_failed", "Events given up after too many tries", multiprocess_mode="livemax"
)


def serve(port: int) -> None:
    """Answer scrapes on `port` from a thread. If the port is taken, say so and go on without."""
    registry = prometheus_client.REGISTRY
    if values.ValueClass is not values.MutexValue:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    try:
        prometheus_client.start_http_server(port, addr=env.exchange_bind, registry=registry)
    except OSError as error:
        log.warning("metrics are not served", port=port, error=error.strerror)
