"""The order of a run. Exit code: 0 every target was met, 1 one was missed or the run failed, 2 bad usage."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import FrameType
from urllib.parse import urlsplit

import msgspec
import psycopg

from exchange.bench import events, feeds, gate, limit, machine, recovery, report, scenarios, stops, usage
from exchange.bench.installation import Place, own_place, running_place
from exchange.bench.orders import Requests
from exchange.bench.result import Report, Result, below
from exchange.bench.scenarios import SCENARIOS, Bench
from exchange.embedded.home import SetupError

NAMES = [*SCENARIOS, "limit", "recovery"]
OWN = ("gate", "recovery")  # only on an installation of our own
SYMBOLS = ["BTC/USDT", "ETH/USDT"]
LOCAL = ("127.0.0.1", "localhost", "::1")
MOST_SECONDS, MOST_RESTING = 600.0, 1_000_000
MOST_CONNECTIONS = 10_000
TRADERS = 64
WEB_MB = 250.0
INTERRUPTED = 130  # as shells have it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--seconds", type=_seconds, default=10.0, metavar="N", help="measured per load (default 10)"
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--limit", action="store_true", help="the same as --only batch limit")
    parser.add_argument(
        "--connections",
        type=_connections,
        default=1_000,
        metavar="N",
        help="clients in feeds (default 1000)",
    )
    parser.add_argument(
        "--each",
        type=_each,
        default=10_000,
        metavar="N",
        help="stops in each market in stops (default 10000)",
    )
    parser.add_argument(
        "--symbols", nargs="+", default=SYMBOLS, metavar="SYMBOL", help=f"default: {' '.join(SYMBOLS)}"
    )
    parser.add_argument(
        "--sizes",
        type=_sizes,
        default=1,
        metavar="N",
        help="orders of 1 to N units, so that some fill in parts (default 1: who crosses fills one other)",
    )
    parser.add_argument(
        "--resting", type=_resting, default=100_000, metavar="N", help="orders in recovery (default 100000)"
    )
    parser.add_argument(
        "--with-events",
        choices=["on", "off"],
        default="off",
        help="whether Kafka, the relay and the consumers run beside it (default off: they have machines of their own)",
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--feeds",
        action="store_true",
        help="only the WebSocket feed, on markets and an installation of its own",
    )
    place.add_argument(
        "--stops",
        action="store_true",
        help="only stops and the prices that trigger them, on markets and an installation of its own",
    )
    place.add_argument(
        "--events",
        action="store_true",
        help="only events, from the outbox to Kafka's consumers, on an installation of its own",
    )
    place.add_argument(
        "--url",
        type=_url,
        help="measure what runs there with this command's settings, not an installation of its own",
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("manage.py bench", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(arguments), print)


def run(options: argparse.Namespace, out: Callable[[str], object]) -> int:
    """`out` gets the report, stderr the progress."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        found = _measure(options)
    except KeyboardInterrupt:
        _progress("interrupted")
        return INTERRUPTED
    except (SetupError, psycopg.Error) as error:
        _progress(str(error))
        return 1
    if options.json:
        out(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        for line in report.lines(found):
            out(line)
    return 0 if found.met else 1


def _measure(options: argparse.Namespace) -> Report:
    _progress(f"measuring {options.url}" if options.url else "starting an installation")
    symbols = feeds.SYMBOLS if options.feeds else stops.SYMBOLS if options.stops else options.symbols
    with _place(options) as place:
        run_id = secrets.token_hex(4)
        markets = place.markets(symbols)
        traders = place.create_traders(run_id, stops.TRADERS if options.stops else TRADERS, markets)
        requests = Requests(place.host, place.port, run_id, traders, markets, options.sizes)
        bench = Bench(place, requests, symbols, options.seconds)
        described, postgres = machine.describe(place.folder), machine.database(place.connection)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        if not options.stops:  # whose prices are its own ticks
            scenarios.seed(bench)
        results = list(_results(bench, options))
        memory = usage.memory(place.pids())
    targets = [below("web resident MB a process", WEB_MB, memory["web"].peak)] if memory else []
    met = all(
        target.met for target in [*targets, *(target for result in results for target in result.targets)]
    )
    return Report(started, described, postgres, symbols, results, memory, targets, met)


def _place(options: argparse.Namespace) -> AbstractContextManager[Place]:
    if options.url:
        return running_place(options.url)
    settings = {"EXCHANGE_EVENTS": "on" if options.events else options.with_events}
    if options.feeds:
        return own_place(_progress, settings | feeds.settings(options.connections), feeds.SYMBOLS)
    return own_place(_progress, settings, stops.SYMBOLS if options.stops else ())


def _results(bench: Bench, options: argparse.Namespace) -> Iterator[Result]:
    names = _chosen(options)
    done: dict[str, Result] = {}
    for name in SCENARIOS:
        if name in names:
            _progress(f"{name} ({bench.seconds:g} s)")
            result, window = scenarios.run(bench, name)
            done[name] = result
            if name == "gate" and "single" in done:
                gate.compare(result, done["single"])
            yield result
            if name == "batch" and "limit" in names:
                _progress("limit")
                yield limit.run(bench.place.connection, window, result)
    if feeds.NAME in names:
        _progress(f"{feeds.NAME} ({options.connections:,} connections, {bench.seconds:g} s)")
        yield feeds.run(bench, options.connections)
    if stops.NAME in names:
        _progress(f"{stops.NAME} ({options.each:,} in each market)")
        yield stops.run(bench, options.each, _progress)
    if events.NAME in names:
        yield from events.run(bench, _progress)
    if "recovery" in names:
        _progress(f"recovery ({options.resting:,} orders)")
        yield recovery.run(bench, options.resting)


def _chosen(options: argparse.Namespace) -> list[str]:
    """Scenarios to run; `limit` is nothing without `batch`, and no matcher but our own is killed, nor are they
    limited."""
    if options.feeds:
        return [feeds.NAME]
    if options.stops:
        return [stops.NAME]
    if options.events:
        return [events.NAME]
    if options.limit:
        return ["batch", "limit"]
    names = options.only or [name for name in NAMES if not (options.url and name in OWN)]
    return ["batch", *names] if "limit" in names else names


def _seconds(text: str) -> float:
    return _between(float(text), 0.5, MOST_SECONDS)


def _sizes(text: str) -> int:
    return int(_between(int(text), 1, 1000))


def _resting(text: str) -> int:
    return int(_between(int(text), 100, MOST_RESTING))


def _each(text: str) -> int:
    return int(_between(int(text), 100, MOST_RESTING))


def _connections(text: str) -> int:
    return int(_between(int(text), len(feeds.SYMBOLS), MOST_CONNECTIONS))


def _between(value: float, least: float, most: float) -> float:
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"must be from {least:g} to {most:g}")
    return value


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "http" or parts.hostname not in LOCAL:
        raise argparse.ArgumentTypeError("must be http:// and on this machine, such as http://127.0.0.1:8080")
    return text


def _progress(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # what runs is ended in peace
    raise KeyboardInterrupt
