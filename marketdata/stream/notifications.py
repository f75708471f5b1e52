"""`user.notifications`: a user's notifications, as they come.

The last ones come from PostgreSQL, those after it from Redis; a notification has an id, so one that comes by
both ways is sent once.
"""

from __future__ import annotations

from collections import deque

from exchange.base.times import now_text
from exchange.platform.notifications import selectors
from exchange.platform.notifications.feed import Note
from marketdata.stream.messages import (
    NotificationMessage,
    NotificationsSnapshot,
    UserNotification,
    UserNotifications,
)
from marketdata.stream.snapshot_channel import LoadedChannel
from marketdata.stream.tasks import Tasks

SHOWN = 50


class NotificationsChannel(LoadedChannel[list[Note], Note]):
    snapshot_message = NotificationsSnapshot
    private = True

    def __init__(self, name: str, user: str, tasks: Tasks) -> None:
        super().__init__(name, tasks)
        self._user = user
        self._notes: deque[UserNotification] = deque(maxlen=SHOWN)

    def read(self) -> list[Note]:
        return selectors.feed(self._user, SHOWN)

    def adopt(self, found: list[Note]) -> None:
        self._notes = deque((_shown(note) for note in reversed(found)), maxlen=SHOWN)

    def notified(self, note: Note) -> None:
        self.take(note)

    def apply(self, item: Note) -> None:
        known = {each.notification_id for each in self._notes}
        dropped = len(self._notes) == SHOWN and item.notification_id < self._notes[0].notification_id
        if item.notification_id in known or dropped:
            return
        shown = _shown(item)
        self._notes.append(shown)
        self.publish(NotificationMessage, shown, now_text())

    def state(self) -> UserNotifications:
        return UserNotifications(list(self._notes))


def _shown(note: Note) -> UserNotification:
    return UserNotification(note.notification_id, note.kind, note.event_id, note.data, note.created_at)
