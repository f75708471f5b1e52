"""One running exchange for all stories, over REST and in the browser; each gets traders of its own and leaves an
empty book."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exchange.embedded.stack import Stack, free_ports
from tests.functional.live import Live, Trader

OTHER_HOST = "second.localhost"  # browsers take every name below localhost for this machine
TRADERS_AT_ONCE = 70
FAST = 100_000  # orders a second: a story is not about the rate


@pytest.hookimpl(tryfirst=True)  # xdist looks for groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread over processes file by file, but one process has the running exchange."""
    for item in items:
        shared = "live" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("live" if shared else str(item.path)))


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home: Path = tmp_path_factory.mktemp("live")
    given = {
        **free_ports(),
        "EXCHANGE_DEMO": "true",
        "EXCHANGE_EVENTS": "off",
        "EXCHANGE_ALLOWED_HOSTS": f"localhost,127.0.0.1,{OTHER_HOST}",
        "EXCHANGE_PRICE_WS_URL": "",
        "EXCHANGE_PRICE_REST_URL": "",
    }
    with Stack(home, given) as stack:
        stack.prepare()
        stack.start_processes()
        stack.wait_ready()
        yield Live(stack)


@pytest.fixture(scope="session")
def pool(live: Live) -> Iterator[Trader]:
    def endless() -> Iterator[Trader]:
        batch = 0
        while True:
            batch += 1
            yield from live.hire(f"story{batch}x", TRADERS_AT_ONCE, order_rate=FAST)

    return endless()


@pytest.fixture(scope="session")
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
