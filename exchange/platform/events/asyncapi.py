"""The AsyncAPI 3 document of the Kafka topics, made from `topics` and the schemas."""

from __future__ import annotations

import json
from typing import Any

from exchange.base.env import env
from exchange.platform.events import schema
from exchange.platform.events.topics import KEYS

_ABOUT = (
    "What happens on the exchange, written in the transaction that made it so. Each event arrives at least once, those "
    "of one key of a topic in order: a reader leaves out what it has seen by `event_id`."
)


def document() -> dict[str, Any]:
    topics = {
        topic: [name for name, each in schema.schemas().items() if each["x-topic"] == topic] for topic in KEYS
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "MyTrader events", "version": "1", "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic, names) for topic, names in topics.items()},
        "operations": {
            f"send-{topic}": {"action": "send", "channel": {"$ref": f"#/channels/{topic}"}}
            for topic in topics
        },
        "components": {
            "messages": {name: _message(name) for name in schema.schemas()},
            "schemas": {
                name: _inlined(each) for name, each in {**schema.common(), **schema.schemas()}.items()
            },
        },
    }


def _channel(topic: str, names: list[str]) -> dict[str, Any]:
    return {
        "address": topic,
        "description": f"Key: {KEYS[topic]}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "topic": topic,
                "partitions": env.kafka_partitions,
                "replicas": env.kafka_replication,
                "topicConfiguration": {"retention.ms": env.kafka_retention_hours * 3_600_000},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _message(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "summary": schema.schemas()[name]["description"],
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
    }


def _inlined(each: dict[str, Any]) -> Any:
    """References into the common file become references into this document."""
    text = json.dumps({name: value for name, value in each.items() if name not in ("$id", "$schema")})
    for inside in ("common.json#/$defs/", "#/$defs/"):
        text = text.replace(f'"{inside}', '"#/components/schemas/')
    return json.loads(text)
