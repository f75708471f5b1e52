"""What users are notified of and how: the kinds, the channels, and what holds where a user chose nothing.

A fill is sent on the feed each time; by e-mail only when the order is complete, because a user who trades
all day would get thousands.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class NotificationKind(models.TextChoices):
    ORDER_FILLED = "ORDER_FILLED", _("Order filled")
    ORDER_PARTIALLY_FILLED = "ORDER_PARTIALLY_FILLED", _("Order partly filled")
    STOP_TRIGGERED = "STOP_TRIGGERED", _("Stop triggered")
    ORDER_REJECTED = "ORDER_REJECTED", _("Order rejected")
    DEPOSIT = "DEPOSIT", _("Deposit")
    WITHDRAWAL = "WITHDRAWAL", _("Withdrawal")
    NEW_DEVICE = "NEW_DEVICE", _("Sign-in from a new device")


class Channel(models.TextChoices):
    EMAIL = "EMAIL", "E-mail"
    SMS = "SMS", "SMS"
    WEBSOCKET = "WEBSOCKET", "WebSocket"


OUTWARD = (Channel.EMAIL, Channel.SMS)  # through a provider; the feed is our own

DEFAULTS: dict[NotificationKind, frozenset[Channel]] = {
    NotificationKind.ORDER_FILLED: frozenset({Channel.EMAIL, Channel.WEBSOCKET}),
    NotificationKind.ORDER_PARTIALLY_FILLED: frozenset({Channel.WEBSOCKET}),
    NotificationKind.STOP_TRIGGERED: frozenset({Channel.EMAIL, Channel.WEBSOCKET}),
    NotificationKind.ORDER_REJECTED: frozenset({Channel.WEBSOCKET}),  # the user who placed it was answered so
    NotificationKind.DEPOSIT: frozenset({Channel.EMAIL, Channel.WEBSOCKET}),
    NotificationKind.WITHDRAWAL: frozenset({Channel.EMAIL, Channel.WEBSOCKET}),
    NotificationKind.NEW_DEVICE: frozenset({Channel.EMAIL, Channel.SMS, Channel.WEBSOCKET}),
}

SECURITY = frozenset({NotificationKind.NEW_DEVICE})


def is_fixed(kind: NotificationKind, channel: Channel) -> bool:
    """No user can turn this off: it is how they learn that another person is at their account."""
    return kind in SECURITY and channel == Channel.EMAIL
