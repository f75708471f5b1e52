"""Requests that were not decided in time."""

from __future__ import annotations

from celery import shared_task

from exchange.platform.approvals import requests


@shared_task(name="approvals.expire", ignore_result=True)
def expire() -> None:
    requests.expire()
