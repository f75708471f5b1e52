"""REST: a trader's API keys. All of it takes a user who has signed in: no key may look at keys or change them."""

from __future__ import annotations

import re
from typing import ClassVar
from uuid import UUID

from django.db import transaction
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema

from exchange.api.key_bodies import (
    ApiKeyChange,
    ApiKeyPage,
    ApiKeyView,
    MadeApiKey,
    NewApiKey,
    changes,
    checked,
    view,
)
from exchange.base.http.openapi import answers, json, problems
from exchange.base.http.problems import Problem
from exchange.base.http.query_string import DEFAULT_LIMIT, MAX_LIMIT, Query, to_cursor
from exchange.platform.keys import lifecycle, selectors
from exchange.platform.keys.models import ApiKey
from exchange.platform.members import authentication
from exchange.platform.members.models import User
from exchange.platform.rest.view import ApiRequest, ApiView, answer, body

SECRET = {"Cache-Control": "no-store"}
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

CHANGES = [
    OpenApiExample(
        "From another network, and without an end",
        {"addresses": ["198.51.100.0/24", "2001:db8::/32"], "expires_at": None},
        request_only=True,
    )
]
KEY_ID = OpenApiParameter(
    "key_id", {"type": "string"}, OpenApiParameter.PATH, description="the key_id that making it gave"
)
EXAMPLES = [
    OpenApiExample(
        "For a market maker's server",
        {"name": "market maker", "scopes": ["TRADE"], "addresses": ["192.0.2.0/24"]},
        request_only=True,
    ),
    OpenApiExample(
        "Ed25519: the private key never leaves you",
        {
            "name": "reports",
            "kind": "ED25519",
            "public_key": "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
            "scopes": ["READ"],
            "expires_at": "2100-01-31T09:30:00Z",
        },
        request_only=True,
    ),
]


class KeyView(ApiView):
    """What both views of keys have in common."""

    permission: ClassVar[str | None] = "profile:read"
    keys_allowed: ClassVar[bool] = False

    def may_write(self, request: ApiRequest) -> User:
        """The user, if they may have keys. Raises Problem 403."""
        authentication.require(request.member, "profile:write")
        if "orders:write" not in request.member.permissions:
            raise Problem(403, "not_a_trader", "Only traders have API keys.")
        return User.objects.get(pk=request.member.user_id)


class KeysView(KeyView):
    @extend_schema(
        operation_id="listApiKeys",
        summary="Your API keys, newest first",
        tags=["API keys"],
        parameters=[
            OpenApiParameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                description="rows in a page",
            ),
            OpenApiParameter("cursor", str, description="the next_cursor of the page before"),
        ],
        responses={200: answers(ApiKeyPage, "A page of keys, revoked ones too"), **problems(400)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        query = Query(request)
        limit, before = query.limit(), query.cursor()
        query.check()
        rows = selectors.of_user(request.member.user_id, limit + 1, before)
        cursor = to_cursor(rows[limit - 1].pk) if len(rows) > limit else None
        return answer(ApiKeyPage([view(key) for key in rows[:limit]], cursor))

    @extend_schema(
        operation_id="makeApiKey",
        summary="Make an API key",
        description="The answer has the secret, once. How to sign requests with it is in `docs/api_keys.md`.",
        tags=["API keys"],
        request=json(NewApiKey),
        examples=EXAMPLES,
        responses={201: answers(MadeApiKey, "The key, and its secret"), **problems(400, 409)},
    )
    def post(self, request: ApiRequest) -> HttpResponse:
        user = self.may_write(request)
        Query(request).check()
        wish = checked(body(request, NewApiKey))
        try:
            with transaction.atomic():
                made = lifecycle.create(user, **wish)
        except lifecycle.TooMany:
            raise Problem(
                409, "too_many_api_keys", f"You have {lifecycle.MOST_KEYS} API keys: revoke one first."
            ) from None
        return answer(MadeApiKey(view(made.key), made.secret or None), 201, SECRET)


class OneKeyView(KeyView):
    @extend_schema(
        operation_id="getApiKey",
        summary="One of your API keys",
        tags=["API keys"],
        parameters=[KEY_ID],
        responses={200: answers(ApiKeyView, "The key"), **problems(404)},
    )
    def get(self, request: ApiRequest, key_id: str) -> HttpResponse:
        return answer(view(_own(request, key_id)))

    @extend_schema(
        operation_id="changeApiKey",
        summary="Change an API key's name, addresses or end",
        description="Other processes of the exchange know of it within a second.",
        tags=["API keys"],
        parameters=[KEY_ID],
        request=json(ApiKeyChange),
        examples=CHANGES,
        responses={200: answers(ApiKeyView, "The key as it is now"), **problems(400, 404, 409)},
    )
    def patch(self, request: ApiRequest, key_id: str) -> HttpResponse:
        self.may_write(request)
        wish = body(request, ApiKeyChange)
        with transaction.atomic():
            key = _own(request, key_id, lock=True)
            try:
                lifecycle.change(key, changes(wish, key))
            except lifecycle.Revoked:
                raise Problem(409, "key_revoked", "This API key was revoked, which is for good.") from None
        return answer(view(key))

    @extend_schema(
        operation_id="revokeApiKey",
        summary="Revoke an API key, for good",
        description="Other processes of the exchange know of it within a second.",
        tags=["API keys"],
        parameters=[KEY_ID],
        responses={200: answers(ApiKeyView, "The key, revoked"), **problems(404)},
    )
    def delete(self, request: ApiRequest, key_id: str) -> HttpResponse:
        authentication.require(request.member, "profile:write")
        with transaction.atomic():
            key = lifecycle.revoke(_own(request, key_id, lock=True))
        return answer(view(key))


def _own(request: ApiRequest, key_id: str, *, lock: bool = False) -> ApiKey:
    key = None
    if _UUID.fullmatch(key_id):
        key = selectors.own(request.member.user_id, UUID(key_id), lock=lock)
    if key is None:
        raise Problem(404, "api_key_not_found", "You have no API key with this id.")
    return key
