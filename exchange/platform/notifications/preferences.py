"""Which notifications each user wants, and on which channels: the defaults, and where they chose otherwise."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from django.db import connection, transaction

from exchange.base.database import array
from exchange.platform.members.models import User
from exchange.platform.notifications.kinds import DEFAULTS, Channel, NotificationKind, is_fixed
from exchange.platform.notifications.models import Preference, UserContact

_CHOSEN = """
    SELECT u.id::text, coalesce(c.phone, '') <> '', p.kind, p.channel, p.wanted
      FROM members_user u LEFT JOIN notifications_usercontact c ON c.user_id = u.id
      LEFT JOIN notifications_preference p ON p.user_id = u.id
     WHERE u.id = ANY (%s::uuid[]) AND u.is_active"""

Wanted = Mapping[NotificationKind, frozenset[Channel]]


class Preferences(NamedTuple):
    """`language` and `phone` are empty where the user gave none."""

    language: str
    phone: str
    wanted: Wanted


def wanted(users: Collection[str]) -> Mapping[str, Wanted]:
    """By user, the channels on which they can and want to get each kind. Who may not sign in is not in
    it."""
    with connection.cursor() as cursor:
        cursor.execute(_CHOSEN, [array(users)])
        rows = cursor.fetchall()
    found: dict[str, dict[NotificationKind, frozenset[Channel]]] = {}
    for user, has_phone, kind, channel, choice in rows:
        channels = found.get(user)
        if channels is None:
            missing = frozenset() if has_phone else frozenset({Channel.SMS})
            channels = found[user] = {each: default - missing for each, default in DEFAULTS.items()}
        if kind in channels and channel in Channel and (has_phone or channel != Channel.SMS):
            channels[kind] = _choose(channels[kind], NotificationKind(kind), Channel(channel), choice)
    return found


def read(user_id: str) -> Preferences:
    contact = UserContact.objects.filter(user_id=user_id).first() or UserContact()
    chosen = dict(DEFAULTS)
    for each in Preference.objects.filter(user_id=user_id):
        kind, channel = NotificationKind(each.kind), Channel(each.channel)
        chosen[kind] = _choose(chosen[kind], kind, channel, each.wanted)
    return Preferences(contact.language, contact.phone, chosen)


@transaction.atomic
def write(user_id: str, preferences: Preferences) -> None:
    """These replace what there was. What cannot be turned off must be wanted."""
    User.objects.select_for_update(no_key=True).get(pk=user_id)  # one after the other: the last one holds
    UserContact.objects.update_or_create(
        user_id=user_id, defaults={"language": preferences.language, "phone": preferences.phone}
    )
    Preference.objects.filter(user_id=user_id).delete()
    Preference.objects.bulk_create(
        Preference(user_id=user_id, kind=kind, channel=channel, wanted=channel in channels)
        for kind, channels in preferences.wanted.items()
        for channel in Channel
        if (channel in channels) != (channel in DEFAULTS[kind])
    )


def _choose(
    channels: frozenset[Channel], kind: NotificationKind, channel: Channel, choice: bool
) -> frozenset[Channel]:
    if choice or is_fixed(kind, channel):
        return channels | {channel}
    return channels - {channel}
