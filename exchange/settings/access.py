"""Who is let into the back office, and when a user who guesses is kept out for a while."""

from __future__ import annotations

from datetime import timedelta

from exchange.base.env import env

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: who is locked out is asked for no password
    "exchange.platform.members.backends.RoleBackend",
]

AXES_FAILURE_LIMIT = env.exchange_sign_in_failures
AXES_COOLOFF_TIME = timedelta(minutes=env.exchange_sign_in_cool_off_minutes)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # else any user could keep another out
AXES_USERNAME_FORM_FIELD = "username"  # what Django's backends are called with, though ours is an e-mail
AXES_USERNAME_CALLABLE = "exchange.platform.members.lockout.username"
AXES_CLIENT_IP_CALLABLE = "exchange.platform.members.lockout.address"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True  # `members.StaffSession` is the list of sign-ins
AXES_ENABLE_ADMIN = False  # its pages know no tenants
AXES_VERBOSE = False
AXES_SENSITIVE_PARAMETERS = ["username", "email", "code", "next", "ip_address"]
# Our two ways to sign in say themselves what they refuse, so the middleware that does it for others is left out.
SILENCED_SYSTEM_CHECKS = ["axes.W002"]

SESSION_COOKIE_AGE = env.exchange_staff_hours * 3600
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
