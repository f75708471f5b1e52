"""REST: a user's notifications, and which ones they want on which channels."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from msgspec import Meta

from exchange.base.http.json_decoding import invalid
from exchange.base.http.openapi import answers, json, problems
from exchange.base.http.problems import FieldError
from exchange.base.http.query_string import DEFAULT_LIMIT, MAX_LIMIT, Query, to_cursor
from exchange.platform.members import authentication
from exchange.platform.notifications import preferences, selectors
from exchange.platform.notifications.kinds import DEFAULTS, Channel, NotificationKind, is_fixed
from exchange.platform.notifications.models import PHONE
from exchange.platform.notifications.preferences import Preferences
from exchange.platform.rest.view import ApiRequest, ApiView, answer, body

Language = Annotated[
    Literal["", "en", "tr"], Meta(description='of e-mails and SMS; "" stands for the institution\'s')
]
Phone = Annotated[
    str,
    Meta(
        max_length=16,
        pattern=f"^$|{PHONE}",
        description="a number with the country's code, or empty: no SMS",
        examples=["+905551112233"],
    ),
]


class NotificationView(msgspec.Struct):
    """What is in `data` depends on the kind: the order, the deposit, the device. Amounts are decimals as text."""

    notification_id: str
    kind: Literal[
        "ORDER_FILLED",
        "ORDER_PARTIALLY_FILLED",
        "STOP_TRIGGERED",
        "ORDER_REJECTED",
        "DEPOSIT",
        "WITHDRAWAL",
        "NEW_DEVICE",
    ]
    event_id: str
    data: dict[str, str]
    created_at: str


class NotificationPage(msgspec.Struct):
    """Newest first. `next_cursor` gives the next page, null says that there is none."""

    items: list[NotificationView]
    next_cursor: str | None


class Channels(msgspec.Struct, forbid_unknown_fields=True, rename="upper"):
    """`true`: tell me this way. What is left out is as it is for new users. WEBSOCKET is the feed
    `user.notifications`. Your list has whatever you want to be told in one way or another.
    """

    email: bool | None = None
    sms: bool | None = None
    websocket: bool | None = None


class Kinds(msgspec.Struct, forbid_unknown_fields=True, rename="upper"):
    """NEW_DEVICE comes by e-mail whatever is chosen."""

    order_filled: Channels = msgspec.field(default_factory=Channels)
    order_partially_filled: Channels = msgspec.field(default_factory=Channels)
    stop_triggered: Channels = msgspec.field(default_factory=Channels)
    order_rejected: Channels = msgspec.field(default_factory=Channels)
    deposit: Channels = msgspec.field(default_factory=Channels)
    withdrawal: Channels = msgspec.field(default_factory=Channels)
    new_device: Channels = msgspec.field(default_factory=Channels)


class NotificationPreferences(msgspec.Struct, forbid_unknown_fields=True):
    language: Language = ""
    phone: Phone = ""
    kinds: Kinds = msgspec.field(default_factory=Kinds)


class NotificationsView(ApiView):
    permission = "profile:read"

    @extend_schema(
        operation_id="listNotifications",
        summary="What you were told, newest first",
        tags=["notifications"],
        parameters=[
            OpenApiParameter("kind", str, enum=NotificationKind.values, description="only these"),
            OpenApiParameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                description="rows in a page",
            ),
            OpenApiParameter("cursor", str, description="the next_cursor of the page before"),
        ],
        responses={200: answers(NotificationPage, "A page of notifications"), **problems(400)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        query = Query(request)
        kind, limit, before = query.text("kind"), query.limit(), query.cursor()
        if kind is not None and kind not in NotificationKind:
            query.wrong("kind", f"must be one of {', '.join(NotificationKind)}")
        query.check()
        rows = selectors.latest(request.member.user_id, limit + 1, before, kind)
        cursor = to_cursor(UUID(rows[limit - 1].notification_id)) if len(rows) > limit else None
        return answer({"items": rows[:limit], "next_cursor": cursor})


class PreferencesView(ApiView):
    permission = "profile:read"

    @extend_schema(
        operation_id="getNotificationPreferences",
        summary="What you are told, and how",
        tags=["notifications"],
        responses={
            200: answers(NotificationPreferences, "All of them, with what you have not chosen"),
            **problems(400),
        },
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        Query(request).check()
        return answer(_shown(preferences.read(request.member.user_id)))

    @extend_schema(
        operation_id="setNotificationPreferences",
        summary="Choose what you are told, and how",
        tags=["notifications"],
        request=json(NotificationPreferences),
        responses={200: answers(NotificationPreferences, "As they are now"), **problems(400)},
    )
    def put(self, request: ApiRequest) -> HttpResponse:
        """Replaces them all: what is left out is as it is for new users."""
        authentication.require(request.member, "profile:write")
        Query(request).check()
        preferences.write(request.member.user_id, _chosen(body(request, NotificationPreferences)))
        return answer(_shown(preferences.read(request.member.user_id)))


def _chosen(given: NotificationPreferences) -> Preferences:
    wanted, errors = {}, []
    for kind in NotificationKind:
        channels = getattr(given.kinds, kind.lower())
        choices = {channel: getattr(channels, channel.lower()) for channel in Channel}
        wanted[kind] = frozenset(
            channel
            for channel, choice in choices.items()
            if choice or (choice is None and channel in DEFAULTS[kind])
        )
        errors += [
            FieldError(f"kinds.{kind}.{channel}", "fixed", "cannot be turned off: it tells you of others")
            for channel in Channel
            if is_fixed(kind, channel) and channel not in wanted[kind]
        ]
    if errors:
        raise invalid(errors)
    return Preferences(given.language, given.phone, wanted)


def _shown(found: Preferences) -> NotificationPreferences:
    kinds = {
        kind.lower(): Channels(**{each.lower(): each in channels for each in Channel})
        for kind, channels in found.wanted.items()
    }
    return NotificationPreferences(found.language, found.phone, Kinds(**kinds))  # type: ignore[arg-type]
