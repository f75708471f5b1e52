"""A message ready to be handed over: to whom, from whom, in which language, with which words.

Events carry ids only, so address, number and language are read here, when it is sent: what a user has changed
since counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import formataddr

from django.conf import settings

from exchange.platform.members import branding
from exchange.platform.members.models import User
from exchange.platform.notifications import texts
from exchange.platform.notifications.kinds import Channel, NotificationKind
from exchange.platform.notifications.models import Delivery, Letterhead, UserContact


@dataclass(frozen=True, repr=False)
class RenderedMessage:
    """`to` is an e-mail address or a phone number, so a message is not for a log. `reference` is the same
    whenever the same message is handed over."""

    reference: str
    to: str
    sender: str
    subject: str
    body: str


class Undeliverable(Exception):
    """There is no user or no address to send it to. The text names no person."""


def compose(deliveries: Sequence[Delivery], *, digest: bool) -> RenderedMessage:
    """One message for these, which have a user and channel in common. Raises Undeliverable; database errors."""
    first = deliveries[0]
    user = User.objects.select_related("institution").get(pk=first.user_id)
    if not user.is_active:
        raise Undeliverable("the user may not sign in any more")
    contact = UserContact.objects.filter(user=user).first() or UserContact(user=user)
    letterhead = Letterhead.objects.filter(institution=user.institution_id).first() or Letterhead()
    channel = Channel(first.channel)
    to = user.email if channel == Channel.EMAIL else contact.phone
    if not to:
        raise Undeliverable("the user has no phone number any more")
    brand = _brand(user)
    language = contact.language or letterhead.language
    if digest:
        kind: str = texts.DIGEST
        values = texts.of_digest(Counter(each.kind for each in deliveries), brand, language)
    else:
        note, kind = first.notification, first.kind
        values = texts.of_event(
            NotificationKind(kind), note.data, note.created_at.astimezone(UTC), brand, language
        )
    words = texts.write(kind, channel, language, values, user.institution_id)
    sender = formataddr((brand, letterhead.email_from or settings.DEFAULT_FROM_EMAIL))
    return RenderedMessage(str(first.pk), to, sender, words.subject, words.body)


def _brand(user: User) -> str:
    look = branding.of_code(user.institution.code) if user.institution else None
    return " ".join((look or branding.DEFAULT).name.split())  # it stands in a header
