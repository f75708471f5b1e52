"""How often and when an event is tried again, and which errors do not count because nothing is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

import django.db
import psycopg

AWAY_SECONDS = 1.0  # between two looks whether the database or Kafka is back


@dataclass(frozen=True)
class Retry:
    """`tries` in all; `first` seconds after the first, twice as many after each that follows."""

    first: float = 0.5
    longest: float = 30.0
    tries: int = 6

    def delay(self, tries: int) -> float:
        return min(self.longest, self.first * 2 ** (tries - 1))


def database_away(error: BaseException) -> bool:
    """True for what says nothing of the event: no connection, a deadlock, a lock or statement that took too
    long."""
    return isinstance(
        error,
        django.db.OperationalError
        | django.db.InterfaceError
        | psycopg.OperationalError
        | psycopg.InterfaceError,
    )
