"""One running exchange for all stories; each story gets traders of its own and leaves an empty book."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exchange.embedded.stack import Stack, free_ports
from tests.functional.live import Live, Trader

TRADERS_AT_ONCE = 70
FAST = 100_000  # orders a second: a story is not about the rate


@pytest.fixture(scope="package")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home: Path = tmp_path_factory.mktemp("live")
    with Stack(home, {**free_ports(), "EXCHANGE_DEMO": "true"}) as stack:
        stack.prepare()
        stack.start_processes()
        stack.wait_ready()
        yield Live(stack)


@pytest.fixture(scope="package")
def pool(live: Live) -> Iterator[Trader]:
    def endless() -> Iterator[Trader]:
        batch = 0
        while True:
            batch += 1
            yield from live.hire(f"story{batch}x", TRADERS_AT_ONCE, order_rate=FAST)

    return endless()


@pytest.fixture(scope="package")
def someone(pool: Iterator[Trader]) -> Trader:
    """A trader for tests that do not mind what has happened before."""
    return next(pool)


@pytest.fixture
def new_trader(pool: Iterator[Trader]) -> Iterator[Callable[[], Trader]]:
    """Gives a funded trader who has not traded; their open orders are cancelled after the story."""
    hired: list[Trader] = []

    def hire() -> Trader:
        hired.append(next(pool))
        return hired[-1]

    yield hire
    for trader in hired:
        trader.http.delete("/orders").raise_for_status()
        trader.http.close()


@pytest.fixture
def alice(new_trader: Callable[[], Trader]) -> Trader:
    return new_trader()


@pytest.fixture
def bob(new_trader: Callable[[], Trader]) -> Trader:
    return new_trader()
