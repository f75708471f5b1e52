"""`user.balances`: read from PostgreSQL after whatever may have changed them, and sent where they did.

The matcher knows no balances: the database derives them. So all users concerned by what the feed sent in the
last moment are read in one query. Reads follow one another, so no balance is sent after a later one.
"""

from __future__ import annotations

import asyncio

import psycopg
import structlog
from channels.db import database_sync_to_async
from django.db import Error

from exchange.base.times import now_text
from marketdata.stream import queries
from marketdata.stream.channel import Channel
from marketdata.stream.messages import Balance, Balances, BalancesSnapshot, BalanceUpdate
from marketdata.stream.tasks import Tasks, Throttle
from matching.feed import Batch, OrderNote, TradeNote

TOGETHER_SECONDS = 0.05
RETRY_SECONDS = 1.0

log = structlog.get_logger(__name__)


class BalanceReader:
    """One query for all that are due, then the next."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._due: set[BalancesChannel] = set()
        self._reads = False
        self._throttle = Throttle(TOGETHER_SECONDS, self._start)

    def want(self, channel: BalancesChannel) -> None:
        self._due.add(channel)
        if not self._reads:
            self._throttle.request()

    def _start(self) -> None:
        if self._due and not self._reads:
            self._reads = True
            self._tasks.start(self._read())

    async def _read(self) -> None:
        due, self._due = self._due, set()
        try:
            found = await database_sync_to_async(queries.balances)([channel.user for channel in due])
        except (Error, psycopg.Error) as error:
            log.warning("balances cannot be read", error=str(error).split("\n")[0])
            self._due |= due
            await asyncio.sleep(RETRY_SECONDS)
        else:
            for channel in due:
                channel.found(found.get(channel.user, {}))
        self._reads = False
        if self._due:
            self._throttle.request()


class BalancesChannel(Channel):
    snapshot_message = BalancesSnapshot
    private = True

    def __init__(self, name: str, user: str, reader: BalanceReader) -> None:
        super().__init__(name)
        self.user = user
        self._reader = reader
        self._balances: dict[str, Balance] = {}

    def open(self) -> None:
        self._reader.want(self)

    def close(self) -> None:
        """A read that is under way does no harm."""

    def lost(self) -> None:
        self._reader.want(self)

    def changed(self) -> None:
        """They may have: look."""
        self._reader.want(self)

    def ordered(self, note: OrderNote, batch: Batch) -> None:
        self._reader.want(self)

    def traded(self, note: TradeNote, batch: Batch) -> None:
        self._reader.want(self)

    def found(self, balances: dict[str, Balance]) -> None:
        changed = [balance for asset, balance in balances.items() if self._balances.get(asset) != balance]
        self._balances = balances
        if not self.ready:
            self.renew()
        elif changed:
            self.publish(BalanceUpdate, Balances(changed), now_text())

    def state(self) -> Balances:
        return Balances(list(self._balances.values()))
