"""REST: signing in."""

from __future__ import annotations

from typing import Annotated

import msgspec
from django.contrib.auth import authenticate
from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from msgspec import Meta

from exchange.base.http.client_address import client_address
from exchange.base.http.openapi import answers, json, problems
from exchange.base.http.problems import Problem
from exchange.base.http.trace_middleware import trace_id
from exchange.platform.members import devices, lockout, rate_limit, selectors, tokens
from exchange.platform.members.devices import Device
from exchange.platform.members.models import User, UserManager
from exchange.platform.rest.view import ApiView, answer, body

ATTEMPTS = 10  # sign-in attempts per address and e-mail in
WINDOW = 60.0  # seconds
SECRET = {"Cache-Control": "no-store"}


class Credentials(msgspec.Struct, forbid_unknown_fields=True):
    email: Annotated[
        str, Meta(max_length=254, pattern=r"^[^\s\x00@]+@[^\s\x00@]+$", description="an e-mail address")
    ]
    password: Annotated[str, Meta(min_length=1, max_length=200)]


class Refresh(msgspec.Struct, forbid_unknown_fields=True):
    refresh: Annotated[str, Meta(max_length=5000, description="a refresh token")]


class Access(msgspec.Struct):
    """`expires_in` is in seconds."""

    access: str
    token_type: str
    expires_in: int


class Tokens(Access):
    refresh: str


class TokenView(ApiView):
    @extend_schema(
        operation_id="sign_in",
        summary="Sign in: an access and a refresh token",
        tags=["auth"],
        parameters=[
            OpenApiParameter(
                devices.HEADER,
                {"type": "string", "minLength": 16, "maxLength": 128, "pattern": "^[A-Za-z0-9._~-]*$"},
                OpenApiParameter.HEADER,
                description="a secret name that your program made once and keeps: without it, a sign-in from "
                "another network counts as one from a new device, of which the user is told",
            )
        ],
        request=json(Credentials),
        responses={200: answers(Tokens, "Signed in"), **problems(401, 429)},
    )
    def post(self, request: HttpRequest) -> HttpResponse:
        user = sign_in(request, devices.of_program(request))
        made = Tokens(tokens.access(user), "Bearer", tokens.lifetime(), tokens.refresh(user))
        return answer(made, headers=SECRET)


class RefreshView(ApiView):
    @extend_schema(
        operation_id="refresh",
        summary="A new access token for a refresh token",
        tags=["auth"],
        request=json(Refresh),
        responses={200: answers(Access, "A new access token"), **problems(401)},
    )
    def post(self, request: HttpRequest) -> HttpResponse:
        user = refreshed(body(request, Refresh).refresh)
        return answer(Access(tokens.access(user), "Bearer", tokens.lifetime()), headers=SECRET)


def sign_in(request: HttpRequest, device: Device) -> User:
    """The user whose `Credentials` the body has; `device` is known from now on. Raises Problem."""
    given = body(request, Credentials)
    email = UserManager.normalize_email(given.email)
    _count_attempt(client_address(request), email)
    _say_locked_out(request, email)
    user = authenticate(request, username=email, password=given.password)
    if not isinstance(user, User):
        raise tokens.unauthorized("invalid_credentials", "No active user has this e-mail and password.")
    lockout.forgive(request, email)
    devices.signed_in(user, device, trace_id=trace_id(request))
    return user


def refreshed(token: str) -> User:
    """The user of a refresh token. Raises Problem."""
    user = selectors.active_user(tokens.verify_refresh(token).user_id)
    if user is None:
        raise tokens.unauthorized("invalid_token", "The user of this token may not sign in.")
    return user


def _say_locked_out(request: HttpRequest, email: str) -> None:
    """Once an e-mail is locked out from an address, no password is looked at. Raises Problem 429."""
    if wait := lockout.seconds_left(request, email):
        raise Problem(
            429,
            "locked_out",
            f"Too many wrong passwords: try again in {wait} s.",
            headers={"Retry-After": str(wait)},
        )


def _count_attempt(address: str, email: str) -> None:
    """Guessing one user's password is slow; an unknown e-mail counts like a known one. Raises Problem 429."""
    allowance = rate_limit.take(f"rate:sign-in:{address}:{email}", 1, ATTEMPTS, WINDOW)
    if not allowance.allowed:
        wait = allowance.retry_after
        raise Problem(
            429,
            "too_many_attempts",
            f"Too many attempts to sign in: try again in {wait} s.",
            headers={"Retry-After": str(wait)},
        )
