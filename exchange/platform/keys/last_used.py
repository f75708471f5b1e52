"""When a key was last used, and what was refused to it: noted on the way of a request, written beside it.

A request leaves a note in memory, at most one a minute for each key and for each kind of refusal, so that a busy
key costs one write a minute and a client that hammers at a key cannot fill the audit log; a refusal says how many
there were since the last one. A thread of each serving process writes the notes (`start`). What a process that is
killed had not written yet is lost, which is about a second of it.

Why it is so: docs/decisions/013-api-keys.md.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

import psycopg
import structlog
from django.db import InterfaceError, OperationalError, connection, transaction

from exchange.base.bounded_cache import Recent
from exchange.base.origin import LONGEST_AGENT
from exchange.platform.audit import log as audit
from exchange.platform.keys.models import ApiKey

EVERY = 60.0  # seconds between two notes of the same
PAUSE = 1.0  # seconds between two writes, so that many notes are one
MOST = 10_000  # notes that wait while the database is away
UNKNOWN_SENDER = "unknown"  # who sent what no key signed
_AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)

_SEEN = """
    UPDATE keys_apikey SET last_used_at = %s, last_used_address = %s
     WHERE id = %s AND (last_used_at IS NULL OR last_used_at < %s)"""

log = structlog.get_logger(__name__)


class Use(NamedTuple):
    at: datetime
    address: str


class Refusal(NamedTuple):
    address: str
    agent: str
    times: int  # since the last note


class Notes:
    """What is still to be written."""

    def __init__(self) -> None:
        self.some = threading.Event()
        self._lock = threading.Lock()
        self._used_at: Recent[str, float] = Recent(MOST)
        self._refused: Recent[tuple[str, str], list[float]] = Recent(MOST)  # [noted at, how many since]
        self._uses: dict[str, Use] = {}
        self._refusals: dict[tuple[str, str], Refusal] = {}

    def used(self, key_id: str, address: str) -> None:
        now = time.monotonic()
        before = self._used_at.get(key_id)
        if before is not None and now - before < EVERY:
            return
        self._used_at.put(key_id, now)
        with self._lock:
            if len(self._uses) < MOST:
                self._uses[key_id] = Use(datetime.now(UTC), address)
        self.some.set()

    def refused(self, key_id: str, code: str, address: str, agent: str) -> None:
        now, name = time.monotonic(), (key_id, code)
        with self._lock:
            noted = self._refused.get(name)
            if noted is not None and now - noted[0] < EVERY:
                noted[1] += 1
                return
            times = 1 + (int(noted[1]) if noted else 0)
            self._refused.put(name, [now, 0])
            if len(self._refusals) < MOST:
                self._refusals[name] = Refusal(address, agent[:LONGEST_AGENT], times)
        self.some.set()

    def write(self) -> None:
        """All that waits, in one transaction. Raises database errors; while the database is away it waits on."""
        with self._lock:
            uses, self._uses = self._uses, {}
            refusals, self._refusals = self._refusals, {}
        try:
            with transaction.atomic():
                _write_uses(uses)
                _write_refusals(refusals)
        except _AWAY:
            with self._lock:
                self._uses = uses | self._uses
                self._refusals = refusals | self._refusals
            raise

    def clear(self) -> None:
        """As if nothing had been noted yet."""
        with self._lock:
            self._uses, self._refusals = {}, {}
            self._used_at.clear()
            self._refused.clear()
            self.some.clear()


notes = Notes()
used, refused = notes.used, notes.refused


@cache
def start() -> None:
    """Have a thread of this process write what is noted."""
    threading.Thread(target=_run, name="key uses", daemon=True).start()


def _run() -> None:
    pause = threading.Event()
    while True:
        notes.some.wait()
        notes.some.clear()
        try:
            notes.write()
        except _AWAY as error:
            log.warning("uses of API keys could not be written", error=str(error).split("\n")[0])
            notes.some.set()
        except Exception:  # nothing else would report it; the next notes are others
            log.exception("uses of API keys were lost")
        finally:
            connection.close()  # this is seldom
        pause.wait(PAUSE)


def _write_uses(uses: dict[str, Use]) -> None:
    with connection.cursor() as cursor:
        for key_id, use in sorted(uses.items()):  # by id, so that two processes do not wait for each other
            cursor.execute(_SEEN, [use.at, use.address, key_id, use.at])


def _write_refusals(refusals: dict[tuple[str, str], Refusal]) -> None:
    named = ApiKey.objects.filter(pk__in={key_id for key_id, _ in refusals})
    owners = {str(key.pk): key.user for key in named.defer("secret").select_related("user")}
    for (key_id, code), refusal in refusals.items():
        owner = owners.get(key_id)
        if owner is not None:
            proven = code != "invalid_signature"
            audit.record(
                action="REFUSE_API_KEY",
                resource=f"api-key/{key_id}",
                actor=str(owner.pk) if proven else UNKNOWN_SENDER,
                role=owner.role if proven else "",
                institution=str(owner.institution_id or ""),
                new={"reason": code, "count": refusal.times, "user": str(owner.pk)},
                address=refusal.address,
                agent=refusal.agent,
            )
