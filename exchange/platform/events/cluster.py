"""Makes the topics that are not there, with partitions, copies and retention from the settings.

A topic that exists stays as it is: another number of partitions would put the events of a key into another one, out
of order with those before.
"""

from __future__ import annotations

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from exchange.base.env import env
from exchange.platform.events import kafka
from exchange.platform.events.topics import TOPICS, dlq

TIMEOUT = 5.0  # seconds

log = structlog.get_logger(__name__)


def create_topics() -> list[str]:
    """Names of those made. What the cluster does not let us make is logged: an operator may have to, and
    until then it refuses our events. Raises KafkaException if the cluster does not answer."""
    admin = kafka.admin()
    existing = admin.list_topics(timeout=TIMEOUT).topics
    missing = [name for topic in TOPICS for name in (topic, dlq(topic)) if name not in existing]
    if not missing:
        return []
    settings = {"retention.ms": str(env.kafka_retention_hours * 3_600_000)}
    wanted = [
        NewTopic(name, env.kafka_partitions, env.kafka_replication, config=settings) for name in missing
    ]
    created = []
    for name, future in admin.create_topics(wanted, request_timeout=TIMEOUT).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                log.warning("topic not created", topic=name, reason=error.args[0].str())
        else:
            created.append(name)
    if created:
        log.info("topics created", topics=created)
    return created
