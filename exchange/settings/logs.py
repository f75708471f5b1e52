"""Logs: one JSON object a line, with the request's trace id; no secret, no personal data."""

from __future__ import annotations

from typing import Any

import structlog

from exchange.base.env import env

_shared: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            "foreign_pre_chain": _shared,
        }
    },
    # Answers that report a failure (503 and the like) have a line of their own; what is left was not caught.
    "filters": {
        "raised": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: record.exc_info is not None,
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": env.exchange_log_level},
    "loggers": {
        "axes": {"level": "WARNING"},  # it has a line for each step
        "httpx": {"level": "WARNING"},  # and it one for each request
        "django.server": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "django.request": {
            "handlers": ["stderr"],
            "level": "ERROR",
            "filters": ["raised"],
            "propagate": False,
        },
    },
}

structlog.configure(
    processors=[
        *_shared,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
