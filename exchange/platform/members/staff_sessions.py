"""Sessions of the staff in the back office: begun with both factors, ended by idleness, age, number or hand.

A browser's session carries the number of its row; the row decides. So a session can be ended from elsewhere at
once, and who came by any way but `members.staff_login` has no row and is not let in.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from exchange.base.env import env
from exchange.base.http.client_address import client_address
from exchange.platform.members import devices
from exchange.platform.members.models import StaffSession, User

KEY = "staff_session"
SEEN_EVERY = timedelta(seconds=30)  # a page in between writes nothing
RECENT = timedelta(days=90)  # for the list of sign-ins; the audit log has them for longer
End = StaffSession.End


@transaction.atomic
def begin(request: HttpRequest, user: User) -> StaffSession:
    """A new session for the browser of `request`. The oldest end where there are too many."""
    User.objects.select_for_update().get(pk=user.pk)
    now = timezone.now()
    open_now = []
    for session in StaffSession.objects.filter(user=user, ended_at=None).order_by("-pk"):
        if (why := _over(session, now)) is not None:
            _end(session, why, now)
        else:
            open_now.append(session)
    for session in open_now[env.exchange_staff_sessions - 1 :]:
        _end(session, End.REPLACED, now)
    made = StaffSession.objects.create(
        user=user,
        device=devices.family(request.META.get("HTTP_USER_AGENT", "")),
        address=client_address(request),
        started_at=now,
        seen_at=now,
    )
    request.session[KEY] = made.pk
    return made


def of(request: HttpRequest) -> StaffSession | None:
    """The session that the browser may go on with; None if there is none, or it is over."""
    if not hasattr(request, "_staff_session"):
        request._staff_session = _read(request)  # type: ignore[attr-defined]
    found: StaffSession | None = request._staff_session  # type: ignore[attr-defined]
    return found


def why_over(request: HttpRequest) -> str:
    """Why the browser's last session ended, in words for its user; empty where there is nothing to say."""
    number = request.session.get(KEY)
    session = StaffSession.objects.filter(pk=number).first() if number is not None else None
    if session is None or session.ending in ("", End.SIGNED_OUT):
        return ""
    return str(End(session.ending).label)


def finish(request: HttpRequest) -> None:
    """Signed out."""
    if (session := of(request)) is not None:
        _end(session, End.SIGNED_OUT, timezone.now())


def end_all(user: User) -> int:
    """Whatever this user has open is over with the next click."""
    return StaffSession.objects.filter(user=user, ended_at=None).update(
        ended_at=timezone.now(), ending=End.REVOKED
    )


def end_others(request: HttpRequest) -> int:
    """All of this user's but the one that asks."""
    current = of(request)
    assert current is not None, "the site lets in who has such a session only"
    others = StaffSession.objects.filter(user_id=current.user_id, ended_at=None).exclude(pk=current.pk)
    return others.update(ended_at=timezone.now(), ending=End.REVOKED)


def end(session: StaffSession) -> bool:
    """Ended by another user; False if it is over already."""
    return _end(session, End.REVOKED, timezone.now())


def delete_old() -> int:
    """Sign-ins that are no longer recent; how many. None of them is open: `env` allows a session a week at most."""
    deleted, _by_model = StaffSession.objects.filter(started_at__lt=timezone.now() - RECENT).delete()
    return deleted


def _read(request: HttpRequest) -> StaffSession | None:
    number = request.session.get(KEY)
    user: Any = request.user
    if number is None or not user.is_authenticated:
        return None
    session = StaffSession.objects.filter(pk=number, user_id=user.pk, ended_at=None).first()
    if session is None:
        return None
    now = timezone.now()
    if (why := _over(session, now)) is not None:
        _end(session, why, now)
        return None
    if now - session.seen_at > SEEN_EVERY:
        StaffSession.objects.filter(pk=session.pk, ended_at=None).update(seen_at=now)
    return session


def _over(session: StaffSession, now: datetime) -> End | None:
    if now - session.started_at > timedelta(hours=env.exchange_staff_hours):
        return End.TOO_OLD
    if now - session.seen_at > timedelta(minutes=env.exchange_staff_idle_minutes):
        return End.IDLE
    return None


def _end(session: StaffSession, why: End, now: datetime) -> bool:
    ended = StaffSession.objects.filter(pk=session.pk, ended_at=None).update(ended_at=now, ending=why)
    return ended > 0
