"""Staff for tests: of any role, signed in to the back office with both factors as the real pages would do it."""

from __future__ import annotations

import itertools

from django.contrib.auth import login
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone

from exchange.platform.members import staff_sessions
from exchange.platform.members.models import Authenticator, Institution, Role, User

PASSWORD = "correct-horse-battery"
BACKEND = "exchange.platform.members.backends.RoleBackend"
_numbers = itertools.count(1)


def staff(role: str = Role.PLATFORM_ADMIN, institution: Institution | None = None, email: str = "") -> User:
    """A new member of the staff, with `PASSWORD`."""
    email = email or f"{role.lower().replace('_', '.')}-{next(_numbers)}@staff.example"
    return User.objects.create_user(email, PASSWORD, role=role, institution=institution)


def signed_in(user: User) -> Client:
    """A browser in which `user` has given password and code."""
    ContentType.objects.clear_cache()  # their rows go with the test that made them
    client = Client()
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": "127.0.0.1", "HTTP_USER_AGENT": "tests"}
    request.session = client.session
    request.axes_attempt_time = timezone.now()  # type: ignore[attr-defined]
    login(request, user, backend=BACKEND)
    staff_sessions.begin(request, user)
    request.session.save()
    client.cookies["sessionid"] = request.session.session_key or ""
    return client


def totp(user: User) -> str:
    """A code of the user's phone that is good now; the phone is enrolled if there is none."""
    device, _ = Authenticator.objects.get_or_create(user=user, confirmed=True, defaults={"name": "phone"})
    code = device.next_code()
    assert code is not None, "two codes were used within one step: wait for the next"
    return code
