"""The JSON Schemas of our events (schemas/*.json, draft 2020-12): one for each event type and version, strict.

A field is never taken away or given another meaning under the same `schema_version`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

_FOLDER = Path(__file__).with_name("schemas")
_COMMON = "common.json"


def check(topic: str, envelope: Mapping[str, Any]) -> None:
    """Raises ValueError, saying where, if this is no event of ours, or not one of that topic."""
    event_type = envelope.get("event_type")
    schema = schemas().get(str(event_type))
    if schema is None:
        raise ValueError(f"no event type {event_type!r}")
    if schema["x-topic"] != topic:
        raise ValueError(f"{event_type} belongs to {schema['x-topic']}, not to {topic}")
    for error in _validator(str(event_type)).iter_errors(envelope):
        raise ValueError(f"{event_type} {error.json_path}: {error.message}")


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """By event type."""
    files = sorted(path for path in _FOLDER.glob("*.json") if path.name != _COMMON)
    return {schema["title"]: schema for schema in map(_read, files)}


@cache
def common() -> dict[str, dict[str, Any]]:
    """What the schemas refer to, by name."""
    definitions: dict[str, dict[str, Any]] = _read(_FOLDER / _COMMON)["$defs"]
    return definitions


@cache
def _validator(event_type: str) -> Draft202012Validator:
    registry: Registry[Any] = Registry().with_resource(
        _COMMON, Resource.from_contents(_read(_FOLDER / _COMMON))
    )
    return Draft202012Validator(schemas()[event_type], registry=registry)


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content
