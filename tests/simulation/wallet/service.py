"""The reference wallet service as a process of its own, over HTTP: told to misbehave, killed, started again."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from exchange.base.ports import find_free
from exchange.embedded.stack import PROJECT
from exchange.embedded.supervisor import launched

TOKEN = "wallet-trial-token"
PROGRAM = PROJECT / "docs" / "wallet_service.py"
START_SECONDS = 90.0  # the machine may be busy

_keys = itertools.count(1)


class Service:
    """One on a free port with its data in `folder`; it keeps both when it is killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = find_free()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [sys.executable, str(PROGRAM), "--port", str(self.port), "--faults"]
        self.data = folder / "wallet.db"
        self.command += ["--data", str(self.data), "--token", TOKEN]
        self.http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=30,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._log = folder / "wallet.log"
        self.brokers = ""  # of the Kafka that it settles trades from
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self.http.close()

    @property
    def settings(self) -> dict[str, str]:
        return {"WALLET": "http", "WALLET_URL": self.url, "WALLET_TOKEN": TOKEN}

    def start(self) -> None:
        with self._log.open("ab") as log:
            environment = {**os.environ, "KAFKA_BROKERS": self.brokers}
            self._process = subprocess.Popen(launched(self.command), stdout=log, stderr=log, env=environment)
        self.wait_ready()

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wait_ready(self) -> None:
        wait_for(self._healthy, START_SECONDS)

    def _healthy(self) -> bool:
        try:
            return self.http.get("/v1/health").status_code == 200
        except httpx.TransportError:
            return False

    # What it is told

    def post(self, path: str, body: Any, key: str = "") -> httpx.Response:
        return self.http.post(
            path, json=body, headers={"Idempotency-Key": key or f"test-{next(_keys)}-{self.port}"}
        )

    def act(self, path: str, *items: dict[str, Any], key: str = "") -> Any:
        """The answer to items, which must be 200."""
        answer = self.post(path, {"items": list(items)}, key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def deposit(self, user: str, **funds: str) -> None:
        self.act("/v1/deposits", *({"user": user, "asset": a, "amount": v} for a, v in funds.items()))

    def misbehave(self, path: str, mode: str, *, count: int = 1, seconds: float = 30.0) -> None:
        self.post("/v1/test/faults", {"path": path, "mode": mode, "count": count, "seconds": seconds})

    def behave(self) -> None:
        """No more faults; what is stalled goes on."""
        self.post("/v1/test/end", {})

    def wait_stalled(self) -> None:
        wait_for(lambda: self._get("/v1/health")["stalled"] > 0)

    # What it has

    def reservations(self, *, only_open: bool = False) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        after: str | None = ""
        while after is not None:
            page = self._get(f"/v1/reservations?after={after}&open={str(only_open).lower()}")
            found |= {each["reservation_id"]: each for each in page["items"]}
            after = page["next"]
        return found

    def balance(self, user: str, asset: str) -> tuple[Decimal, Decimal]:
        """Available and reserved."""
        for each in self._get(f"/v1/users/{user}/balances")["items"]:
            if each["asset"] == asset:
                return Decimal(each["available"]), Decimal(each["reserved"])
        return Decimal(0), Decimal(0)

    # Past the service

    def empty(self) -> None:
        with closing(sqlite3.connect(self.data, isolation_level=None)) as database:
            for table in ("balance", "reservation", "settled", "answer"):
                database.execute(f"DELETE FROM {table}")

    def correct(self, statement: str, *values: str) -> None:
        """As the bank's people would."""
        with closing(sqlite3.connect(self.data, isolation_level=None)) as database:
            database.execute(statement, values)

    @contextmanager
    def changed(self, statement: str, *values: str) -> Iterator[None]:
        """It finds other data in its database meanwhile."""
        tables = ("balance", "reservation")
        with closing(sqlite3.connect(self.data, isolation_level=None)) as database:
            kept = {table: database.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
            database.execute(statement, values)
            try:
                yield
            finally:
                database.execute("BEGIN IMMEDIATE")
                for table, rows in kept.items():
                    database.execute(f"DELETE FROM {table}")
                    marks = ", ".join("?" * len(rows[0]))
                    database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
                database.execute("COMMIT")

    def _get(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


def wait_for(condition: Callable[[], object], seconds: float = START_SECONDS) -> None:
    """Raises AssertionError if it does not come."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        pause.wait(0.01)
