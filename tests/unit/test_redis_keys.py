"""Names in Redis that more than one package uses are spelt in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from exchange.base import redis_keys

ROOT = Path(__file__).parents[2]
HOME = Path("exchange/base/redis_keys.py")
PACKAGES = ("exchange", "matching", "risk", "trading", "marketdata")
NAMED_ALIKE = {("exchange/health.py", "matcher:")}  # the names of its checks, which the API shows


def spelt_here() -> set[str]:
    """The constants of the module, and what its functions begin with."""
    functions = {
        redis_keys.commands(""),
        redis_keys.matcher(""),
        redis_keys.feed(""),
        redis_keys.book(""),
        redis_keys.price(""),
        redis_keys.stops("", "").removesuffix(":"),
    }
    constants = {value for name, value in vars(redis_keys).items() if name.isupper()}
    return functions | {value for value in constants if ":" in value}  # others are everyday words


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Texts in code, with their lines; not those that document it."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def test_no_other_module_spells_one() -> None:
    prefixes = tuple(sorted(spelt_here()))
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT)
            if name == HOME:
                continue
            for line, text in texts(ast.parse(path.read_text())):
                if text.startswith(prefixes) and (str(name), text) not in NAMED_ALIKE:
                    found.append(f"{name}:{line}: {text}")
    assert found == []


def test_names_are_those_that_running_processes_use() -> None:
    """A process of the release before may still run: what is renamed here is lost between the two."""
    assert redis_keys.commands("alpha") == "commands:alpha"
    assert redis_keys.matcher("alpha") == "matcher:alpha"
    assert redis_keys.feed("alpha") == "feed:alpha"
    assert redis_keys.FEED_PATTERN == "feed:*"
    assert redis_keys.book("BTC/USDT") == "book:BTC/USDT"
    assert redis_keys.price("BTC/USDT") == "price:BTC/USDT"
    assert redis_keys.stops("BTC/USDT", "BUY") == "stops:BTC/USDT:BUY"
    assert (redis_keys.TOPS, redis_keys.USERS, redis_keys.PRICES) == ("tops", "users", "prices")
    assert (redis_keys.STREAM_ALIVE, redis_keys.PRICES_ALIVE) == ("stream", "prices:alive")
    assert (redis_keys.RELAY_ALIVE, redis_keys.NOTIFICATIONS) == ("relay:alive", "notifications")
    assert (redis_keys.STOP_PRICES, redis_keys.STOPS_MOVED) == ("stops:price", "stops:moved")
    assert (redis_keys.STOPS_POKED, redis_keys.STOPS_BUILT) == ("stops:poked", "stops:built")
    assert redis_keys.STOPS_BUILDING == "stops:building"
