"""`user.notifications`: what comes from PostgreSQL and from Redis is told once, in whatever order."""

from __future__ import annotations

import json
from typing import Any

from exchange.platform.notifications.feed import Note
from marketdata.stream.channel import Channel
from marketdata.stream.notifications import SHOWN, NotificationsChannel
from marketdata.stream.tasks import Tasks
from marketdata.stream.wire import payload


class Client:
    def __init__(self) -> None:
        self.frames: list[Any] = []

    def deliver(self, channel: Channel, wire: bytes) -> None:
        self.frames.append(json.loads(payload(wire)))

    def told(self) -> list[str]:
        return [frame["data"]["notification_id"] for frame in self.frames if frame["type"] == "NOTIFICATION"]


def note(number: int) -> Note:
    return Note(f"{number:04d}", "DEPOSIT", "event", {"amount": "1"}, "2026-11-22T20:15:00Z")


def following(*known: int) -> tuple[NotificationsChannel, Client]:
    """A client of a channel whose state was read: `known`, newest first."""
    channel, client = NotificationsChannel("user.notifications", "user", Tasks()), Client()
    channel.adopt([note(number) for number in known])
    channel.renew()
    channel.join(client)
    return channel, client


def test_what_was_read_already_is_not_told_again() -> None:
    channel, client = following(3, 2, 1)
    for number in (2, 4, 4, 3, 5):
        channel.notified(note(number))
    assert client.told() == ["0004", "0005"]
    assert [each.notification_id for each in channel.state().notifications] == [
        "0001",
        "0002",
        "0003",
        "0004",
        "0005",
    ]


def test_one_that_was_made_earlier_and_committed_later_is_told() -> None:
    channel, client = following(4, 2)
    channel.notified(note(3))
    assert client.told() == ["0003"]


def test_one_that_is_no_longer_shown_is_not_told_again() -> None:
    channel, client = following(*range(SHOWN + 10, 10, -1))
    channel.notified(note(5))
    channel.notified(note(SHOWN + 11))
    assert client.told() == [f"{SHOWN + 11:04d}"]
    assert len(channel.state().notifications) == SHOWN
    assert len(client.frames[0]["data"]["notifications"]) == SHOWN
