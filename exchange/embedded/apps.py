"""PostgreSQL and Valkey for a machine that has none, and the processes of `make up`."""

from __future__ import annotations

from django.apps import AppConfig


class EmbeddedConfig(AppConfig):
    name = "exchange.embedded"
    label = "embedded"
