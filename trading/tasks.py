"""What Celery does for trading: resend commands that no matcher has applied, make partitions ahead, check stops."""

from __future__ import annotations

import time
from functools import cache

import django.db
import psycopg
import redis
import structlog
from celery import shared_task

from exchange.base import partitions, redis_keys
from exchange.base.database import connect, own_connection
from exchange.base.env import env
from exchange.base.redis import client
from exchange.base.redis import connect as redis_client
from matching import stream
from trading.ledger import seal
from trading.models.partitions import TABLES
from trading.orders import forced_cancels
from trading.orders.dispatch import Dispatcher
from trading.orders.resend import UnacknowledgedCommands
from trading.reference.catalog import catalog
from trading.stops import watchlist
from trading.stops.check import Checker
from trading.stops.rebuild import mismatched
from trading.wallet.client import WalletUnavailable
from trading.wallet.release import Closer

log = structlog.get_logger(__name__)

SEALING_SECONDS = 0.4  # of each two
PATIENCE = 1.0  # seconds for an answer of Redis: a check has nothing better to do than to wait

_unacknowledged = UnacknowledgedCommands()


@shared_task(name="trading.sweep")
def sweep() -> int:
    """Send again what no matcher has applied, once however often it comes; how many commands.

    A group without a matcher is left out: the next one reads all that is pending when it starts.
    """
    found = _unacknowledged.find()
    try:
        found = {group: batch for group, batch in found.items() if client().exists(redis_keys.matcher(group))}
        if found:
            stream.send(client(), found)
    except redis.RedisError as error:
        log.warning("sweep could not send", error=str(error))
        return 0
    if found:
        log.info("lost commands sent again", **{group: len(batch) for group, batch in found.items()})
    return sum(len(batch) for batch in found.values())


@cache
def _dispatcher() -> Dispatcher:
    return Dispatcher()


@shared_task(name="trading.cancel_due")
def cancel_due() -> int:
    """Cancel the open orders of blocked users and of dead man's switches that ran out; how many cancels."""
    sent = forced_cancels.cancel_due(own_connection(), _dispatcher())
    if sent:
        log.info("open orders are cancelled", cancels=sent)
    return sent


@shared_task(name="trading.ensure_partitions")
def ensure_partitions() -> list[str]:
    """The partitions that were made."""
    created = partitions.ensure(TABLES)
    if created:
        log.info("partitions created", partitions=created)
    return created


@cache
def _closer() -> Closer:
    return Closer(lambda: connect("exchange wallet"))


@shared_task(name="trading.wallet")
def wallet() -> int:
    """With a bank's own wallet: give back what closed orders left over there; how many."""
    if env.wallet != "http":
        return 0
    try:
        return _closer().run()
    except WalletUnavailable:
        return 0  # its client has said why; the next one goes on
    except (psycopg.Error, django.db.Error) as error:
        log.warning("wallet could not be looked after", error=str(error).split("\n")[0])
        return 0


@cache
def _checker() -> Checker:
    return Checker(redis_client(socket_timeout=PATIENCE), connect)


@shared_task(name="trading.check_stops")
def check_stops() -> int:
    """Let go the stops that a price has reached; how many. What fails is done by the next one."""
    try:
        return _checker().run()
    except (redis.RedisError, psycopg.Error, django.db.Error) as error:
        log.warning("stops could not be checked", error=str(error).split("\n")[0])
        return 0


@shared_task(name="trading.count_stops")
def count_stops() -> list[str]:
    """Have the watch list read again for the symbols of which it has another number of stops than there are."""
    markets = catalog.markets()
    try:
        wrong = sorted(mismatched(client(), own_connection(), markets)) if markets else []
        if wrong:
            watchlist.invalidate(client(), wrong)
    except redis.RedisError as error:
        log.warning("stops could not be counted", error=str(error))
        return []
    if wrong:
        log.info("stops differ, to be read anew", symbols=wrong)
    return wrong


@shared_task(name="trading.seal_ledger")
def seal_ledger() -> int:
    """How many transactions. What fails is done by the next one."""
    ends, total = time.monotonic() + SEALING_SECONDS, 0
    try:
        while time.monotonic() < ends and (sealed := seal.seal()):
            total += sealed
    except (psycopg.Error, django.db.Error) as error:
        log.warning("ledger could not be sealed", error=str(error).split("\n")[0])
    return total


@shared_task(name="trading.anchor_ledger")
def anchor_ledger() -> bool:
    """Have the audit log say how far the ledger is sealed."""
    try:
        return seal.anchor()
    except django.db.Error as error:
        log.warning("the ledger's seals could not be anchored", error=str(error).split("\n")[0])
        return False
