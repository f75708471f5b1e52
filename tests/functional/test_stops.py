"""Stops as a trader has them: placed over REST, let go by a price, filled; and nothing is lost when parts fail.

An exchange of its own: BTC/USDT follows its own last trade, ETH/USDT an outside market that the test plays.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import redis

from exchange.base import redis_keys
from exchange.embedded.stack import Stack, free_ports
from matching.core.types import Side
from tests.functional.live import Live, Trader
from trading.stops import watchlist

PATIENCE = 90.0  # seconds, on a busy machine
pytestmark = pytest.mark.timeout(4 * PATIENCE)
ETH = {"symbol": "ETH/USDT"}


class Outside(ThreadingHTTPServer):
    """What the outside market's ticker answers: `prices` by its own symbols."""

    def __init__(self) -> None:
        self.prices: dict[str, str] = {}
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Outside)
        asked = json.loads(parse_qs(urlsplit(self.path).query)["symbols"][0])
        known = self.server.prices
        body = json.dumps([{"symbol": name, "price": known[name]} for name in asked if name in known])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with Outside() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, outside: Outside) -> Iterator[Live]:
    """At the end `verify` must find nothing."""
    settings = {
        "EXCHANGE_DEMO": "true",
        "EXCHANGE_EVENTS": "off",
        "EXCHANGE_PRICE_WS_URL": "",
        "EXCHANGE_PRICE_REST_URL": outside.url,
    }
    with Stack(tmp_path_factory.mktemp("stops"), {**free_ports(), **settings}) as stack:
        stack.prepare()
        with psycopg.connect(stack.env["DATABASE_URL"]) as database:
            database.execute(
                "UPDATE trading_instrument SET trigger_source = 'MARKET' WHERE symbol = 'ETH/USDT'"
            )
        stack.start_processes()
        stack.wait_ready()
        live = Live(stack)
        yield live
        live.manage("verify")


@pytest.fixture(scope="module")
def pool(live: Live) -> Iterator[Trader]:
    """The other stories' fixtures take traders from it."""
    return iter(live.hire("stopper", 20, order_rate=100_000))


@pytest.fixture(scope="module")
def trade_at(pool: Iterator[Trader], store: redis.Redis) -> Callable[[str], None]:
    """Make it the last price of BTC/USDT, between two others, and wait until it is the price of stops."""
    seller, buyer = next(pool), next(pool)

    def trade(price: str) -> None:
        assert seller.sell("0.001", price)["status"] == "OPEN"
        assert buyer.buy("0.001", price)["status"] == "FILLED"
        eventually(lambda: store.hget(redis_keys.STOP_PRICES, "BTC/USDT") == price.encode())

    return trade


@pytest.fixture(scope="module")
def store(live: Live) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(live.stack.env["REDIS_URL"]) as client:
        yield client


def eventually(what: Callable[[], Any]) -> Any:
    """What `what` gives, as soon as it is something."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.05)):
        if found := what():
            return found
        pause.wait(0.05)
    raise AssertionError(f"not within {PATIENCE} s")


def order(trader: Trader, placed: Any) -> Any:
    return trader.get(f"/orders/{placed['order_id']}")


def waits(trader: Trader, placed: Any) -> bool:
    return bool(order(trader, placed)["status"] == "PENDING_TRIGGER")


def gone(trader: Trader, placed: Any) -> Any:
    """The order, as soon as it waits no more."""
    eventually(lambda: not waits(trader, placed))
    return order(trader, placed)


def test_own_last_trade_lets_a_stop_go_which_pays_no_more_than_it_holds(
    alice: Trader, bob: Trader, trade_at: Callable[[str], None]
) -> None:
    """It holds 5 % more than its stop price, 52710, and pays no more."""
    trade_at("50000")
    for price in ("50500", "52700", "52711"):
        bob.sell("0.1", price)
    stop = alice.buy("0.3", order_type="STOP", stop_price="50200")
    far = alice.buy("0.1", order_type="STOP", stop_price="60000")
    assert (stop["status"], stop["trigger_price"], stop["triggered_at"]) == ("PENDING_TRIGGER", None, None)
    assert alice.balance("USDT")[1] > 0
    trade_at("50199.99")
    trade_at("50250")
    done = gone(alice, stop)
    assert (done["status"], done["reason"]) == ("CANCELLED", "MARKET_REST")
    assert (done["stop_price"], done["trigger_price"]) == ("50200", "50250")
    assert done["triggered_at"] > done["created_at"]
    assert (done["filled_quantity"], done["average_price"]) == ("0.2", "51600")
    assert waits(alice, far)


def test_a_stop_limit_sells_when_the_price_falls(
    alice: Trader, bob: Trader, trade_at: Callable[[str], None]
) -> None:
    """One is amended while it waits, one cancelled."""
    trade_at("50000")
    bob.buy("0.5", "48900")
    kinds = {"order_type": "STOP_LIMIT", "stop_price": "49000"}
    stop = alice.sell("1", "48800", **kinds)
    amended = alice.sell("1", "48800", **kinds)
    cancelled = alice.sell("1", "48800", **kinds)
    assert alice.balance("BTC") == (7, 3)
    answer = alice.http.patch(f"/orders/{amended['order_id']}", json={"price": "48950", "quantity": "0.4"})
    assert (answer.status_code, answer.json()["status"]) == (200, "PENDING_TRIGGER")
    assert alice.http.delete(f"/orders/{cancelled['order_id']}").status_code == 200
    assert alice.balance("BTC")[1] == Decimal("1.4")
    trade_at("48990")
    done, changed = gone(alice, stop), gone(alice, amended)
    assert (done["status"], done["filled_quantity"], done["trigger_price"]) == (
        "PARTIALLY_FILLED",
        "0.5",
        "48990",
    )
    assert (changed["status"], changed["price"], changed["quantity"]) == ("OPEN", "48950", "0.4")
    bob.buy("0.5", "48800")
    assert order(alice, stop)["status"] == "FILLED"
    assert order(alice, cancelled)["trigger_price"] is None


def test_the_outside_market_lets_stops_go_and_own_trades_do_not(
    alice: Trader, bob: Trader, outside: Outside
) -> None:
    """A price between two ticks is the tick below for a buyer, the tick above for a seller.

    The best ask is 2900 when the buyer goes, and the collar 5 %: 3045 is within it, 3046 is not.
    """
    outside.prices["ETHUSDT"] = "3000"
    buy = alice.buy("2", order_type="STOP", stop_price="3010", **ETH)
    sell = alice.sell("1", "2880", order_type="STOP_LIMIT", stop_price="2890", **ETH)
    bob.sell("0.1", "3020", **ETH)
    assert alice.buy("0.1", "3020", **ETH)["status"] == "FILLED"  # an own trade beyond the stop
    for price in ("2900", "3045", "3046"):
        bob.sell("0.5", price, **ETH)
    bob.buy("2", "2885", **ETH)
    outside.prices["ETHUSDT"] = "3012.3456"
    bought = gone(alice, buy)
    assert (bought["status"], bought["reason"]) == ("CANCELLED", "MARKET_REST")
    assert (bought["filled_quantity"], bought["average_price"]) == ("1", "2972.5")
    assert bought["trigger_price"] == "3012.34"
    assert waits(alice, sell)
    outside.prices["ETHUSDT"] = "2889.991"
    sold = gone(alice, sell)
    assert (sold["status"], sold["average_price"], sold["trigger_price"]) == ("FILLED", "2885", "2890")


def test_a_stop_beyond_the_last_price_goes_within_a_second_or_so(
    alice: Trader, trade_at: Callable[[str], None]
) -> None:
    trade_at("47000")
    stop = alice.buy("0.1", "40000", order_type="STOP_LIMIT", stop_price="46000")
    assert stop["status"] == "PENDING_TRIGGER"
    assert gone(alice, stop)["trigger_price"] == "47000"


def test_a_stop_waits_while_its_market_is_halted(
    live: Live, alice: Trader, trade_at: Callable[[str], None], store: redis.Redis
) -> None:
    trade_at("45000")
    stop = alice.buy("0.1", "40000", order_type="STOP_LIMIT", stop_price="46000")
    live.manage("halt", "BTC/USDT", "--reason", "a test")
    try:
        store.hset(redis_keys.STOP_PRICES, "BTC/USDT", "46500")  # the halt came in between
        store.sadd(redis_keys.STOPS_MOVED, "BTC/USDT")
        eventually(lambda: not store.sismember(redis_keys.STOPS_MOVED, "BTC/USDT"))
        assert waits(alice, stop)
    finally:
        live.set_status("BTC/USDT", "TRADING")
    trade_at("46100")
    assert gone(alice, stop)["status"] == "OPEN"


# Parts that fail


def test_killed_between_the_commit_and_the_list(
    live: Live, alice: Trader, bob: Trader, trade_at: Callable[[str], None], store: redis.Redis
) -> None:
    """Redis is made to wait when the check is in its transaction, and the process is killed after the commit."""
    trade_at("50000")
    bob.sell("1", "51000")
    stop = alice.buy("0.5", order_type="STOP", stop_price="50500")
    member = stop["order_id"].encode()
    eventually(lambda: store.zscore(watchlist.key("BTC/USDT", Side.BUY), member))
    sent = "SELECT count(*) FROM trading_pendingcommand WHERE order_id = %s AND kind = 'Trigger'"
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE application_name = 'exchange stops' AND wait_event_type = 'Lock'"
    )
    with psycopg.connect(live.stack.env["DATABASE_URL"], autocommit=True) as database:

        def count(query: str, *values: object) -> int:
            row = database.execute(query, values or None).fetchone()
            assert row is not None
            return int(row[0])

        live.stack.kill("matcher-alpha", signal.SIGSTOP)  # the command stays in the inbox
        try:
            with psycopg.connect(live.stack.env["DATABASE_URL"]) as other:
                other.execute("LOCK TABLE trading_pendingcommand IN SHARE MODE")

                def reached() -> int:
                    """Is the check at the lock? Each second `prices` puts the true price back."""
                    store.hset(redis_keys.STOP_PRICES, "BTC/USDT", "50600")
                    store.sadd(redis_keys.STOPS_MOVED, "BTC/USDT")
                    return count(waiting)

                eventually(reached)
                store.client_pause(30_000, all=False)
            eventually(lambda: count(sent, stop["order_id"]))
            live.stack.kill("stops")
        finally:
            store.client_unpause()
            live.stack.kill("matcher-alpha", signal.SIGCONT)
        done = gone(alice, stop)
        assert (done["status"], done["filled_quantity"], done["trigger_price"]) == ("FILLED", "0.5", "50600")
        trades = "SELECT count(*) FROM trading_trade WHERE buyer_order_id = %s"
        assert count(trades, stop["order_id"]) == 1
        assert count(sent, stop["order_id"]) == 0
    eventually(lambda: live.stack.pids("stops"))


def test_redis_is_emptied_and_the_stops_go_all_the_same(
    live: Live, alice: Trader, bob: Trader, trade_at: Callable[[str], None], store: redis.Redis
) -> None:
    trade_at("50000")
    bob.sell("1", "50501.5")  # what they trade at is the next last price
    stops = [alice.buy("0.1", order_type="STOP", stop_price=f"{50500 + n}") for n in range(3)]
    lows = [alice.sell("0.1", "40000", order_type="STOP_LIMIT", stop_price=f"{45000 - n}") for n in range(3)]
    store.flushall()
    trade_at("50501")
    assert [gone(alice, stop)["status"] for stop in stops[:2]] == ["FILLED", "FILLED"]
    assert waits(alice, stops[2])
    assert all(waits(alice, low) for low in lows)
    eventually(lambda: store.zcard(watchlist.key("BTC/USDT", Side.SELL)) == 3)


def test_killed_it_comes_back_and_looks_at_everything(
    live: Live, alice: Trader, trade_at: Callable[[str], None]
) -> None:
    trade_at("50000")
    stop = alice.sell("0.1", "49999", order_type="STOP_LIMIT", stop_price="49000")
    live.stack.kill("stops")
    trade_at("48000")
    assert gone(alice, stop)["trigger_price"] == "48000"
