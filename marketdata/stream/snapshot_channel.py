"""Channels whose state is read from PostgreSQL once and kept by the feed from there on.

What the feed says while the state is being read is put aside. Each item knows if a state that was read includes
it already, so nothing is missed and nothing is sent twice.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any, Generic, TypeVar

import psycopg
import structlog
from channels.db import database_sync_to_async
from django.db import Error

from marketdata.stream.channel import Channel
from marketdata.stream.tasks import Tasks

RETRY_SECONDS = 1.0

Found = TypeVar("Found")
Item = TypeVar("Item")

log = structlog.get_logger(__name__)


class LoadedChannel(Channel, Generic[Found, Item]):
    def __init__(self, name: str, tasks: Tasks) -> None:
        super().__init__(name)
        self._tasks = tasks
        self._aside: list[Item] = []
        self._reading: asyncio.Task[None] | None = None

    @abstractmethod
    def read(self) -> Found:
        """From PostgreSQL, in a thread. Raises database errors."""

    @abstractmethod
    def adopt(self, found: Found) -> None:
        """This is the state now."""

    @abstractmethod
    def apply(self, item: Item) -> None:
        """Change the state, unless it includes `item`, and publish."""

    def take(self, item: Item) -> None:
        if self._reading is None:
            self.apply(item)
        else:
            self._aside.append(item)

    def open(self) -> None:
        self._aside = []
        self._reading = self._tasks.start(self._load())

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def lost(self) -> None:
        self.void()
        self.close()
        self.open()

    async def _load(self) -> None:
        while True:
            try:
                found: Any = await database_sync_to_async(self.read)()
                break
            except (Error, psycopg.Error) as error:
                log.warning("cannot be read", channel=self.name, error=str(error).split("\n")[0])
                await asyncio.sleep(RETRY_SECONDS)
        self._reading = None
        self.adopt(found)
        aside, self._aside = self._aside, []
        for item in aside:
            self.take(item)
        if self._reading is None:  # else one of them said that something was missed
            self.renew()
