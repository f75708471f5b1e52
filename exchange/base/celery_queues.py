"""The queues of Celery: each is emptied by a worker of its own (`manage.py celery_worker --queue …`)."""

from __future__ import annotations

DEFAULT, STOPS, RELAY, RISK = "celery", "stops", "relay", "risk"
ALL = (DEFAULT, STOPS, RELAY, RISK)
