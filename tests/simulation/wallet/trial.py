"""The fault trials with WALLET=http: the same load and promises, and the bank's side of it checked in each round.

The wallet service settles trades from the stack's Kafka. A round is at rest when no reservation is on its way
and every trade is settled; then `reconcile_wallet --all` must find nothing, and the customers together must
have what they were given.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import psycopg

from exchange.embedded.stack import PROJECT, Stack, free_ports
from tests.simulation.faults.checks import QUIET_SECONDS, Checks
from tests.simulation.faults.client import Client
from tests.simulation.faults.injection import PAIR, Injector
from tests.simulation.faults.playground import FUNDS
from tests.simulation.faults.promises import Promises
from tests.simulation.faults.trial import ORDER_RATE, PASSWORD, TRADERS, Trial
from tests.simulation.wallet.service import Service

KILLS = ("matcher-alpha", "web", "worker", "postgres", "backend", "wallet")
MISBEHAVIOUR = ("wallet-stalls", "wallet-late", "wallet-errors", "wallet-cut-off", "release-lost")
SINGLES = (*KILLS, *MISBEHAVIOUR, "wallet-away", "all")
SPARED = ("kafka", "relay", "consumers", "simulate")  # other trials' business; a mock broker forgets
AWAY_SECONDS = (1.0, 4.0)

_ON_THE_WAY = """
    SELECT count(*) FROM trading_reservation AS r
     WHERE state IN ('RESERVING', 'RELEASING')
        OR (state = 'HELD' AND NOT EXISTS (SELECT FROM trading_order AS o WHERE o.id = r.id AND o.closed_at IS NULL))"""

_AT_REST = """
    SELECT u.email, a.code, available, held FROM trading_account c
      JOIN members_user u ON u.id = c.user_id JOIN trading_asset a ON a.id = c.asset_id
     WHERE u.email LIKE 'fault%%' AND (available <> 0 OR held <> 0)"""


def is_fault(name: str) -> bool:
    parts = name.split(PAIR)
    return name in SINGLES or (len(parts) == 2 and all(part in (*KILLS, *MISBEHAVIOUR) for part in parts))


def plan(rounds: int, chance: random.Random) -> list[str]:
    """Every single fault, pairs, and these again, in random order."""
    pairs = [PAIR.join(pair) for pair in combinations((*KILLS, *MISBEHAVIOUR), 2)]
    names: list[str] = []
    while len(names) < rounds:
        chance.shuffle(pairs)
        names += [*SINGLES, *pairs]
    names = names[:rounds]
    chance.shuffle(names)
    return names


class WalletInjector(Injector):
    def __init__(self, stack: Stack, chance: random.Random, service: Service) -> None:
        super().__init__(stack, chance, away_seconds=1.0)
        self._service = service

    def strike(self, name: str) -> None:
        seconds = self._chance.uniform(*AWAY_SECONDS)
        some = self._chance.randint(2, 12)
        match name:
            case "wallet":
                self._service.kill()
                self._service.start()
            case "wallet-away":
                self._service.kill()
                self._pause.wait(seconds)
                self._service.start()
            case "wallet-stalls":
                self._misbehave("stall_before", some, seconds)
            case "wallet-late":  # applied, and the answer comes too late
                self._misbehave("stall_after", some, seconds)
            case "wallet-errors":
                self._misbehave(self._chance.choice(["error_before", "error_after"]), some)
            case "wallet-cut-off":
                self._misbehave(self._chance.choice(["drop_before", "drop_after"]), some)
            case "release-lost":
                self._service.misbehave("/v1/release-many", "drop_after", count=some)
            case "all":
                self._service.kill()
                self._kill_everything()
                self._service.start()
            case _:
                super().strike(name)

    def _misbehave(self, mode: str, count: int, seconds: float = 0.0) -> None:
        """For so many requests of each kind; a stall ends after `seconds`."""
        for path in ("/v1/reserve-many", "/v1/release-many"):
            self._service.misbehave(path, mode, count=count, seconds=seconds)
        self._pause.wait(seconds)

    def _kill_everything(self) -> None:
        names = [name for name in self._stack.names if name not in SPARED]
        self._chance.shuffle(names)
        for name in names:
            self._stack.kill(name)


class WalletChecks(Checks):
    def __init__(self, url: str, environment: dict[str, str], service: Service, given: Counter[str]) -> None:
        super().__init__(url, environment)
        self._service = service
        self._given = given

    def wait_quiet(self, seconds: float = 3 * QUIET_SECONDS) -> str:
        return super().wait_quiet(seconds)

    def problems(self, traders: dict[str, Promises]) -> Iterator[str]:
        yield from super().problems(traders)
        code, found = self.manage("reconcile_wallet", "--json", "--all", "--grace", "0")
        if code or found["findings"]:
            yield f"reconcile_wallet ended with {code}: {found}"
        has = self._totals()
        if has != {asset: Decimal(amount) for asset, amount in self._given.items()}:
            yield f"customers and the house have {has}, they were given {dict(self._given)}"

    def at_rest(self) -> Iterator[str]:
        """When no order is open."""
        with psycopg.connect(self._url) as connection:
            for row in connection.execute(_AT_REST):
                yield f"left in our ledger: {row}"
        for name, held in self._service.reservations(only_open=True).items():
            yield f"left at the service: {name} {held}"

    def manage(self, *arguments: str) -> tuple[int, Any]:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT, env=self._environment, capture_output=True, text=True, timeout=QUIET_SECONDS,
        )  # fmt: skip
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            return done.returncode or 1, (done.stdout + done.stderr).strip()

    def _undone(self) -> str:
        undone = super()._undone()
        if undone:
            return undone
        try:
            with psycopg.connect(self._url, connect_timeout=5) as connection:
                (moving,) = connection.execute(_ON_THE_WAY).fetchone() or (0,)
                (trades,) = connection.execute("SELECT count(*) FROM trading_trade").fetchone() or (0,)
        except psycopg.OperationalError as error:
            return f"PostgreSQL: {str(error).strip()}"
        settled = self._rows("SELECT count(*) FROM settled WHERE problem = ''")[0][0]
        if moving or settled != trades:
            return f"{moving} reservations on their way, {settled} of {trades} trades settled"
        return ""

    def _totals(self) -> dict[str, Decimal]:
        totals: dict[str, Decimal] = {}
        for asset, total in self._rows("SELECT asset, total FROM balance"):
            totals[asset] = totals.get(asset, Decimal(0)) + Decimal(total)
        return totals

    def _rows(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self._service.data, timeout=30)) as database:
            return database.execute(sql).fetchall()


class WalletTrial(Trial):
    """Runs faults in a private stack in `folder`, with the service's data beside it."""

    gap_seconds = 300.0  # what is tried here is whether it is right; how soon it is back, by the other trials

    def __init__(self, folder: Path, seed: int, progress: Callable[[str], None]) -> None:
        super().__init__(folder / "home", seed, 1.0, progress)
        self._service = Service(folder)
        settings = {"EXCHANGE_DEMO": "true", "EXCHANGE_PRICE_WS_URL": "", "EXCHANGE_PRICE_REST_URL": ""}
        self.stack = Stack(
            folder / "home", {**free_ports(), **settings, **self._service.settings}, self._note
        )

    def _create_traders(self) -> list[str]:
        """Traders whose money is at the bank. The stack has its Kafka by now."""
        emails = self._register()
        self._service.brokers = self.stack.env["KAFKA_BROKERS"]
        self._service.start()
        given: Counter[str] = Counter()
        with psycopg.connect(self.stack.env["DATABASE_URL"]) as connection:
            users = connection.execute("SELECT id::text FROM members_user WHERE email = ANY (%s)", [emails])
            for (user,) in users.fetchall():
                for asset, amount in (fund.split("=") for fund in FUNDS):
                    self._service.deposit(user, **{asset: amount})
                    given[asset] += int(amount)
        environment = {**os.environ, **self.stack.env}
        self._checks: WalletChecks = WalletChecks(
            self.stack.env["DATABASE_URL"], environment, self._service, given
        )
        self._injector = WalletInjector(self.stack, self._chance, self._service)
        return emails

    def _register(self) -> list[str]:
        command = [sys.executable, "manage.py", "create_trader", "fault{:02d}@demo.exchange"]
        command += [f"--count={TRADERS}", "--institution=demo", f"--password={PASSWORD}"]
        command += [f"--order-rate={ORDER_RATE}"]
        environment = {**os.environ, **self.stack.env}
        subprocess.run(command, cwd=PROJECT, env=environment, check=True, stdout=subprocess.DEVNULL)
        return [f"fault{number:02d}@demo.exchange" for number in range(1, TRADERS + 1)]

    def _final_checks(self) -> None:
        """Every order is cancelled first: then nothing may be left anywhere."""
        for email in self._emails:
            client = Client(int(self.stack.env["EXCHANGE_HTTP_PORT"]), email, PASSWORD)
            assert client.sign_in() == 200
            client.call("DELETE", "orders")
            client.close()
        undone = self._checks.wait_quiet()
        self.report.problems += [undone] if undone else list(self._checks.at_rest())
        code, found = self._checks.manage("reconcile_wallet", "--json", "--all", "--grace", "0")
        self.report.problems += [f"reconcile_wallet at rest: {found}"] if code else []
        self._tell(f"reconcile_wallet --all at rest: {json.dumps(found)}")
        super()._final_checks()

    def _end_traders(self) -> None:
        super()._end_traders()
        self._service.kill()
        self._service.http.close()
