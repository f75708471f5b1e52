"""The queue of deliveries: which is next, and what became of it.

A row is claimed (SENDING) and that is committed before its provider gets it; so a process that dies in between
leaves a row that is not claimed again, and no message goes out twice. After a while it is shown as UNKNOWN.

Why it is so: docs/decisions/011-notifications-at-most-once.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog
from django.db import Error, transaction
from django.db.models import F, QuerySet

from exchange.base import ids
from exchange.platform.notifications.kinds import Channel
from exchange.platform.notifications.models import Delivery, Notification
from exchange.platform.notifications.rendering import RenderedMessage, Undeliverable, compose

State = Delivery.State

AGAIN = [
    timedelta(seconds=seconds) for seconds in (10, 60, 300)
]  # after the first, second… try; then the last
LATEST = timedelta(days=1)  # what could not be handed over by then is no news any more
SENT_BY = timedelta(minutes=10)  # no provider is waited for so long
KEPT = timedelta(days=90)
DIGEST_AT_ONCE = 5_000
FORGOTTEN_AT_ONCE = 10_000

log = structlog.get_logger(__name__)


class Claim(NamedTuple):
    """Deliveries that one message is for: one, or all that waited for a digest."""

    deliveries: list[Delivery]
    message: RenderedMessage
    digest: bool


def claim(channel: Channel) -> Claim | None:
    """The next message of `channel`; the caller alone has it. None if nothing is due."""
    while True:
        with transaction.atomic():
            deliveries, digest = _due(channel)
            if not deliveries:
                return None
            try:
                message = compose(deliveries, digest=digest)
            except Undeliverable as error:
                _finish(deliveries, State.FAILED, str(error))
                continue
            except Error:
                raise
            except Exception as error:  # one that can't be written must not hold up those behind it
                log.error(
                    "a letter cannot be written", delivery=str(deliveries[0].pk), error=type(error).__name__
                )
                _finish(deliveries, State.FAILED, "it could not be written")
                continue
            _of(deliveries).update(
                state=State.SENDING, claimed_at=datetime.now(UTC), tries=F("tries") + 1, reason=""
            )
        return Claim(deliveries, message, digest)


def sent(claim: Claim) -> None:
    _finish(claim.deliveries, State.SENT)


def failed(claim: Claim, reason: str) -> None:
    _finish(claim.deliveries, State.FAILED, reason)


def unknown(claim: Claim, reason: str) -> None:
    _finish(claim.deliveries, State.UNKNOWN, reason)


def again(claim: Claim, reason: str, after: timedelta | None = None) -> None:
    """It was surely not taken: back into the queue, later each time unless `after` says when."""
    tries = min(each.tries for each in claim.deliveries)
    now = datetime.now(UTC)
    _of(claim.deliveries).update(
        state=State.HELD if claim.digest else State.QUEUED,
        due_at=now + (after or AGAIN[min(tries, len(AGAIN) - 1)]),
        reason=reason,
    )


def tidy() -> dict[str, int]:
    """Say what is known of what was left behind, and delete what is old; how many of each."""
    now = datetime.now(UTC)
    left = Delivery.objects.filter(state=State.SENDING, claimed_at__lt=now - SENT_BY)
    late = Delivery.objects.filter(state__in=[State.QUEUED, State.HELD], id__lt=ids.floor(now - LATEST))
    old = Notification.objects.filter(id__lt=ids.floor(now - KEPT)).order_by("id")
    forgotten = list(old.values_list("id", flat=True)[:FORGOTTEN_AT_ONCE])
    return {
        "unknown": left.update(state=State.UNKNOWN, finished_at=now, reason="the sender ended meanwhile"),
        "late": late.update(state=State.FAILED, finished_at=now, reason="too late"),
        "forgotten": Notification.objects.filter(id__in=forgotten).delete()[0] if forgotten else 0,
    }


def _due(channel: Channel) -> tuple[list[Delivery], bool]:
    """Locked against other senders."""
    now = datetime.now(UTC)
    open_ = Delivery.objects.select_for_update(skip_locked=True, of=("self",)).filter(channel=channel)
    due = open_.filter(due_at__lte=now).order_by("due_at")
    single = list(due.filter(state=State.QUEUED).select_related("notification")[:1])
    if single:
        return single, False
    first = due.filter(state=State.HELD).first()
    if first is None:
        return [], False
    held = open_.filter(state=State.HELD, user=first.user_id).order_by("id")
    return list(held[:DIGEST_AT_ONCE]), True


def _finish(deliveries: Sequence[Delivery], state: str, reason: str = "") -> None:
    _of(deliveries).update(state=state, finished_at=datetime.now(UTC), reason=reason[:100])


def _of(deliveries: Sequence[Delivery]) -> QuerySet[Delivery]:
    return Delivery.objects.filter(pk__in=[each.pk for each in deliveries])
