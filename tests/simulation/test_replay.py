"""The memory of signed requests, while PostgreSQL crashes: it forgets as a whole or not at all, and what it may have
forgotten is refused."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from django.conf import settings

from exchange.embedded.stack import Stack, free_ports

SQL = settings.BASE_DIR / "exchange" / "platform" / "keys" / "migrations" / "sql" / "seen.sql"
WINDOW = 60_000
PATIENCE = 30.0  # seconds


class Memory:
    """An embedded PostgreSQL that has the memory and nothing else."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.connection = self._connect()
        self.connection.execute(SQL.read_text().encode())

    def ask(self, request: UUID, signed_at: int) -> str:
        """The outcome; connects anew where the server was lost."""
        parameters = (request, signed_at, WINDOW)
        try:
            row = self.connection.execute(
                "SELECT outcome FROM keys_remember(%s, %s, %s)", parameters
            ).fetchone()
        except psycopg.OperationalError:
            self.connection = self._connect()
            return self.ask(request, signed_at)
        assert row is not None
        return str(row[0])

    def until_new(self) -> float:
        """Seconds until a request is taken that is signed when it is sent."""
        began = time.monotonic()
        while (outcome := self.ask(uuid4(), now())) != "NEW":
            assert outcome == "UNSURE"
            assert time.monotonic() < began + PATIENCE
            time.sleep(0.05)
        return time.monotonic() - began

    def _connect(self) -> psycopg.Connection:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return psycopg.connect(self.stack.env["DATABASE_URL"], autocommit=True)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Stack(tmp_path, {**free_ports(), "EXCHANGE_EVENTS": "off"}) as stack:
        made = Memory(stack)
        yield made
        made.connection.close()


def now() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.long
def test_no_crash_of_postgresql_lets_a_request_in_twice(memory: Memory) -> None:
    request, signed_at = uuid4(), now()
    assert memory.ask(request, signed_at) == "NEW"
    memory.stack.stop("postgres")
    memory.stack.start("postgres")
    assert memory.ask(request, signed_at) == "REPLAYED"  # an orderly end forgets nothing

    backend = memory.connection.info.backend_pid
    os.kill(backend, signal.SIGKILL)  # PostgreSQL starts anew with what is in its log
    assert memory.ask(request, signed_at) == "UNSURE"
    assert 3 < memory.until_new() < 10
    assert memory.ask(request, signed_at) == "UNSURE"

    request, signed_at = uuid4(), now()
    assert memory.ask(request, signed_at) == "NEW"
    memory.stack.kill("postgres")
    memory.connection.close()  # its server process may outlive the main one for a moment
    assert memory.ask(request, signed_at) == "UNSURE"
    memory.until_new()
    assert memory.ask(request, signed_at) == "UNSURE"
