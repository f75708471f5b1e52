"""`make up`: the whole exchange on one machine, until Ctrl-C.

Starts PostgreSQL, Valkey and Kafka unless DATABASE_URL, REDIS_URL and KAFKA_BROKERS name others, brings the
database up to date, starts our processes and keeps them running; a symbol group that comes later gets its matcher.
It runs before Django's settings can be read: it finds the values they need.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import psycopg

from exchange.base.ports import reachable
from exchange.embedded.home import SetupError
from exchange.embedded.stack import GIVEN, Stack

DEFAULT_HOME = ".exchange"
LOOK_SECONDS = 3.0  # between two looks at the symbol groups


class Progress:
    """A line on the terminal for each step, with the seconds it took."""

    def __init__(self) -> None:
        self.first = self._last = time.monotonic()

    def done(self, step: str) -> None:
        now = time.monotonic()
        self.say(f"  {step:<44}{now - self._last:6.1f} s")
        self._last = now

    def say(self, line: str) -> None:
        with suppress(BrokenPipeError):  # the exchange outlives the reader of its progress
            print(line, flush=True)


def main() -> int:
    """Exit code: 0 after Ctrl-C or SIGTERM, 1 with one line on stderr if it can't start, 2 for arguments."""
    argparse.ArgumentParser("manage.py up", description=__doc__).parse_args(sys.argv[2:])
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, _interrupt)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    progress = Progress()
    stack = Stack(Path(os.environ.get("EXCHANGE_HOME") or DEFAULT_HOME), _given(), progress.say)
    try:
        _start(stack, progress)
        _follow_groups(stack, progress.say)
    except KeyboardInterrupt:
        progress.say("\nending ...")
    except (SetupError, OSError) as error:
        print(f"make up: {error}", file=sys.stderr)
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        stack.close()
    progress.say("ended; the data stays")
    return 0


def _start(stack: Stack, progress: Progress) -> None:
    stack.open()
    os.environ.update(stack.env)
    from exchange.base.env import env  # here, because it checks what `open` has just settled

    if env.exchange_simulate and not env.exchange_demo:
        raise SetupError("EXCHANGE_SIMULATE trades the demo market: it needs EXCHANGE_DEMO=true")
    stack.check_ports()
    progress.say(f"MyTrader, in {stack.home.root}")
    stack.start_services()
    progress.done(" and ".join(stack.names) or "services given")
    stack.prepare(progress.done)
    stack.start_processes()
    stack.wait_ready()
    progress.done("web, stream, workers, beat, matchers: " + ", ".join(stack.groups))
    if env.exchange_simulate:
        stack.start_simulation()
    progress.say(f"ready after {time.monotonic() - progress.first:.1f} s\n")
    web = f"http://{reachable(env.exchange_bind)}:{env.exchange_http_port}"
    progress.say(f"  terminal     {web}/")
    progress.say(f"  status       {web}/status")
    progress.say(f"  API          {web}/api/docs")
    progress.say(f"  back office  {web}/admin/")
    progress.say(f"  WebSocket    ws://{reachable(env.exchange_bind)}:{env.exchange_ws_port}/")
    progress.say(f"  logs         {stack.home.root / 'log'}")
    if env.exchange_demo:
        progress.say(
            "\n  sign in as   trader01@demo.exchange to trader20@demo.exchange, operator@demo.exchange"
        )
        progress.say("  password     demo-pass")
    progress.say("\nCtrl-C ends it.")


def _follow_groups(stack: Stack, say: Callable[[str], None]) -> None:
    """Until Ctrl-C: a symbol group that is made while all runs gets its matcher."""
    while True:
        time.sleep(LOOK_SECONDS)
        for group in _groups(stack.env["DATABASE_URL"]):
            if group not in stack.groups:
                stack.add_matcher(group)
                say(f"a matcher for the new group {group}")


def _groups(database: str) -> list[str]:
    """All there are; none while PostgreSQL does not answer, which the next look makes up for."""
    try:
        with psycopg.connect(database, connect_timeout=2) as connection:
            rows = connection.execute("SELECT name FROM matching_symbolgroup ORDER BY name").fetchall()
    except psycopg.Error:
        return []
    return [name for (name,) in rows]


def _given() -> dict[str, str]:
    """What the environment sets; an embedded database gets the demo unless a variable says otherwise."""
    given = {
        name: value
        for name, value in os.environ.items()
        if value and (name in GIVEN or name.startswith("EXCHANGE_"))
    }
    if "DATABASE_URL" not in given:
        given.setdefault("EXCHANGE_DEMO", "true")
    given.setdefault("EXCHANGE_SIMULATE", "false")  # whatever it was the last time
    return given


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
