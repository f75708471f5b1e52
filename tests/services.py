"""PostgreSQL and Valkey for one test session, in a folder of its own, started when a test needs them.

Where they will be is known before they run, so Django's settings can be read at once, and a session with
pure tests only starts nothing.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psycopg

from exchange.embedded.stack import Stack, free_ports

PURE = (Path(__file__).parent / "unit", Path(__file__).parent / "simulation" / "test_oracle.py")


class Services:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="exchange-test-"))
        self.stack = Stack(self.folder / "home", free_ports())
        atexit.register(self.close)
        self.stack.open()
        os.environ.update(self.stack.env)
        self._started = False

    def start_for(self, paths: Iterable[Path]) -> None:
        """Start them if a test in one of the files `paths` may use them."""
        if self._started or all(any(map(path.is_relative_to, PURE)) for path in paths):
            return
        self._started = True
        self.stack.start_services()
        with psycopg.connect(self.stack.superuser(), autocommit=True) as connection:
            # Lets a test empty the append-only tables again; see `emptied` in conftest.py.
            connection.execute("GRANT SET ON PARAMETER session_replication_role TO exchange")

    def close(self) -> None:
        self.stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)
