"""What is measured: an installation of its own in a temporary folder, or one that runs on this machine."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from exchange.bench.orders import API, Steps, Trader
from exchange.embedded.home import SetupError
from exchange.embedded.stack import PROJECT, Stack, free_ports

ORDER_RATE = 1_000_000  # orders a second, so that no load meets its limit
FUNDS = 10**12  # of each asset


@dataclass
class Place:
    """An installation, and how to reach it. `environment` is what `manage.py` needs there; `folder` is on the
    disk of its data; `stack` is there if it is the bench's own."""

    host: str
    port: int
    environment: Mapping[str, str]
    connection: psycopg.Connection[Any]
    folder: Path
    stack: Stack | None = None

    def pids(self) -> dict[str, list[int]]:
        """Of every process of an installation of our own."""
        return {name: self.stack.pids(name) for name in self.stack.names} if self.stack else {}

    def markets(self, symbols: Sequence[str]) -> list[Steps]:
        """Raises SetupError for a symbol that does not exist."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        try:
            connection.request("GET", f"{API}/symbols")
            views = {view["symbol"]: view for view in json.load(connection.getresponse())["items"]}
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            raise SetupError(f"no exchange answers on {self.host}:{self.port} ({error})") from error
        finally:
            connection.close()
        unknown = [symbol for symbol in symbols if symbol not in views]
        if unknown:
            raise SetupError(f"no market {', '.join(unknown)}; there are: {', '.join(views)}")
        return [Steps.of(views[symbol]) for symbol in symbols]

    def create_traders(self, run: str, count: int, markets: Sequence[Steps]) -> list[Trader]:
        """Funded traders without a rate limit, in institution `demo`."""
        assets = sorted({asset for market in markets for asset in market.assets})
        command = [sys.executable, "manage.py", "create_trader", f"bench-{run}-{{:03d}}@demo.exchange"]
        command += ["--count", str(count), "--institution", "demo", "--order-rate", str(ORDER_RATE), "--json"]
        command += [f"--fund={asset}={FUNDS}" for asset in assets]
        done = subprocess.run(
            command, cwd=PROJECT, env=dict(self.environment), capture_output=True, text=True
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
            raise SetupError(f"no traders could be made: {lines[-1]}")
        return [Trader(made["user_id"], made["token"]) for made in json.loads(done.stdout)]


@contextmanager
def own_place(
    progress: Callable[[str], None],
    settings: Mapping[str, str] | None = None,
    more_markets: Sequence[str] = (),
) -> Iterator[Place]:
    """A new installation with the demo, as `make up` runs it; nothing is left of it. `settings` are by variable
    name, `more_markets` are symbols of markets like the demo's ETH/USDT. Raises SetupError."""
    folder = Path(tempfile.mkdtemp(prefix="exchange-bench-"))
    given = {**free_ports(), "EXCHANGE_DEMO": "true", **(settings or {})}
    try:
        with Stack(folder / "home", given, progress) as stack:
            stack.prepare()
            with psycopg.connect(stack.env["DATABASE_URL"], autocommit=True) as connection:
                for number, symbol in enumerate(more_markets):
                    _copy_market(connection, symbol, stack.groups[number % len(stack.groups)])
                stack.start_processes()
                stack.wait_ready()
                port = int(stack.env["EXCHANGE_HTTP_PORT"])
                yield Place("127.0.0.1", port, {**os.environ, **stack.env}, connection, folder, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_market(connection: psycopg.Connection[Any], symbol: str, group: str) -> None:
    """A market of a new asset for USDT, with the steps and limits of ETH/USDT."""
    code = symbol.partition("/")[0]
    connection.execute("INSERT INTO trading_asset (code, name, scale) VALUES (%s, %s, 8)", [code, code])
    connection.execute(
        """INSERT INTO trading_instrument SELECT copied.* FROM trading_instrument like_it
             JOIN trading_asset base ON base.code = %s,
             jsonb_populate_record(like_it, jsonb_build_object(
                 'id', nextval(pg_get_serial_sequence('trading_instrument', 'id')),
                 'symbol', %s::text, 'base_id', base.id, 'group_id', %s::text, 'market_symbol', '')) copied
            WHERE like_it.symbol = 'ETH/USDT'""",
        [code, symbol, group],
    )


@contextmanager
def running_place(url: str) -> Iterator[Place]:
    """The installation that answers on `url` and whose settings this process has. Raises SetupError."""
    from exchange.base.env import env  # reads the settings, which the bench's own place does not have yet

    parts = urlsplit(url)
    assert parts.hostname is not None, "checked with the arguments"
    try:
        with psycopg.connect(env.database_url, autocommit=True) as connection:
            yield Place(parts.hostname, parts.port or 80, os.environ, connection, env.exchange_home)
    except psycopg.OperationalError as error:
        raise SetupError(f"DATABASE_URL: {error}") from error
