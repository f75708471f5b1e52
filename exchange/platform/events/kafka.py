"""How this system talks to Kafka: one place for the address, the credentials and what every client needs.

KAFKA_BROKERS names the cluster; `make up` without one starts a small cluster of its own (exchange/embedded/kafka.py)
and names that.
"""

from __future__ import annotations

import logging
import re
import time
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from exchange.base.env import env

AGAIN = 30.0  # seconds until the same complaint is logged again


class _Seldom(logging.Filter):
    """librdkafka says of each attempt to connect that it failed, twenty times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text, now = record.getMessage(), time.monotonic()
        if text.startswith("CONFWARN"):  # our settings are meant
            return False
        text = re.sub(r"\d+", "", text)
        if now < self._said.get(text, 0.0):
            return False
        if len(self._said) > 1000:
            self._said.clear()
        self._said[text] = now + AGAIN
        return True


_log = logging.getLogger("kafka")
_log.addFilter(_Seldom())


def configured() -> bool:
    """Whether there is a cluster to talk to."""
    return bool(env.kafka_brokers)


def producer(**more: Any) -> Producer:
    """Idempotent, acknowledged by all replicas, and in order: whatever is behind a message that failed is not sent.

    A message waits for its broker for as long as it takes: the caller says when it has waited enough (`purge`).
    """
    return Producer(
        _common()
        | {
            "enable.idempotence": True,
            "enable.gapless.guarantee": True,
            "acks": "all",
            "message.timeout.ms": 0,
            "linger.ms": 5,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",  # as Java's clients place a key
            "queue.buffering.max.messages": 200_000,
        }
        | more
    )


def consumer(group: str, **more: Any) -> Consumer:
    """A member of `group` that starts at the first message there is and commits only the offsets it is given."""
    return Consumer(
        _common()
        | {
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
        | more
    )


def admin() -> AdminClient:
    return AdminClient(_common())


def _common() -> dict[str, Any]:
    assert configured(), "KAFKA_BROKERS is empty"
    settings: dict[str, Any] = {
        "bootstrap.servers": env.kafka_brokers,
        "client.id": "exchange",
        "security.protocol": env.kafka_security_protocol,
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 1000,
        "log_level": 4,
        "logger": _log,
    }
    if env.kafka_sasl_mechanism:
        settings |= {
            "sasl.mechanism": env.kafka_sasl_mechanism,
            "sasl.username": env.kafka_username,
            "sasl.password": env.kafka_password,
        }
    if env.kafka_ca_file:
        settings["ssl.ca.location"] = str(env.kafka_ca_file)
    return settings
