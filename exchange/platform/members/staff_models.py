"""What the staff's sign-in keeps: the second factor of each, the code to enrol it with, and their sessions."""

from __future__ import annotations

import secrets
import time
from base64 import b32encode

from django.conf import settings
from django.db import models
from django_otp.models import Device, ThrottlingMixin
from django_otp.oath import TOTP

from exchange.base.encryption import EncryptedTextField

STEP = 30  # seconds that a code is good for
DIGITS = 6
TOLERANCE = 1  # steps that the clock of a phone may be off
SECRET_BYTES = 20  # as RFC 4226 recommends


def new_secret() -> str:
    return secrets.token_hex(SECRET_BYTES)


class Authenticator(ThrottlingMixin, Device):
    """A phone's TOTP secret (RFC 6238). A code is good once; wrong ones make the next wait, longer each time."""

    secret = EncryptedTextField(max_length=80, default=new_secret, editable=False)
    last_step = models.BigIntegerField(default=-1, help_text="of the last code that was used")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user"], name="one_authenticator", condition=models.Q(confirmed=True)
            )
        ]

    @property
    def key(self) -> bytes:
        return bytes.fromhex(self.secret)

    @property
    def text_secret(self) -> str:
        """As people type it into a phone."""
        return b32encode(self.key).decode().rstrip("=")

    def get_throttle_factor(self) -> int:
        return 1

    def verify_token(self, token: str) -> bool:
        """Use a code up. The caller has locked the row, so that two requests cannot use the same one."""
        allowed, _ = self.verify_is_allowed()
        totp = TOTP(self.key, STEP, 0, DIGITS, 0)
        totp.time = time.time()
        right = (
            allowed
            and len(token) == DIGITS
            and token.isascii()
            and token.isdigit()
            and totp.verify(int(token), tolerance=TOLERANCE, min_t=self.last_step + 1)
        )
        if right:
            self.last_step = totp.t()
            self.throttle_reset(commit=False)
        elif allowed:
            self.throttle_increment(commit=False)
        self.save()
        return right

    def next_code(self, now: float | None = None) -> str | None:
        """The code that would be taken at this moment; None while it has to be waited for."""
        current = int((time.time() if now is None else now) // STEP)
        step = max(current, self.last_step + 1)
        if step > current + TOLERANCE:
            return None
        totp = TOTP(self.key, STEP, 0, DIGITS, 0)
        totp.time = step * STEP
        return f"{totp.token():0{DIGITS}d}"


class Enrolment(models.Model):
    """The code that lets a member of the staff enrol a phone, as a digest; see `members.enrolment`. Used up it goes."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    digest = models.CharField(max_length=64)
    made_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.user_id)


class StaffSession(models.Model):
    """A sign-in to the back office with both factors, and the session that came of it.

    A browser is let in while the row that its session names has not ended. Rows stay for a while: they are the
    list of recent sign-ins.
    """

    class End(models.TextChoices):
        SIGNED_OUT = "SIGNED_OUT", "signed out"
        IDLE = "IDLE", "idle for too long"
        TOO_OLD = "TOO_OLD", "open for too long"
        REPLACED = "REPLACED", "too many at a time"
        REVOKED = "REVOKED", "ended by somebody else"

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_index=False, related_name="staff_sessions"
    )
    device = models.CharField(max_length=60)
    address = models.CharField(max_length=45, blank=True)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ending = models.CharField(max_length=10, choices=End.choices, blank=True)

    class Meta:
        verbose_name = "sign-in"
        indexes = [models.Index(fields=["user", "-id"], name="staff_session_of_user")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ended_at__isnull=True, ending="")
                | models.Q(ended_at__isnull=False) & ~models.Q(ending=""),
                name="staff_session_ends_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.device} {self.started_at:%Y-%m-%d %H:%M}"
