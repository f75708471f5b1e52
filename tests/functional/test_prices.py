"""The prices process in a running exchange. Whether it reaches a market outside is left open here."""

from __future__ import annotations

from typing import Any

import redis

from tests.functional.live import Live, Trader
from tests.market import eventually


def state(live: Live) -> str:
    return str(live.public.get("/health/ready").json()["checks"]["prices"])


def test_stops_follow_our_own_trades_while_the_process_comes_and_goes(
    live: Live, alice: Trader, bob: Trader
) -> None:
    client = redis.Redis.from_url(live.stack.env["REDIS_URL"])

    def stop_price() -> Any:
        return client.hget("stops:price", "BTC/USDT")

    alice.sell("0.01", "61234.50")
    bob.buy("0.01", "61234.50")
    eventually(lambda: stop_price() == b"61234.5")
    assert client.exists("price:BTC/USDT")

    live.stack.stop("prices")
    eventually(lambda: state(live) == "down")
    eventually(lambda: stop_price() is None)  # nobody knows how old it would be
    alice.sell("0.01", "61235.00")
    bob.buy("0.01", "61235.00")
    live.stack.start("prices")
    eventually(lambda: state(live) == "up")
    eventually(lambda: stop_price() == b"61235")

    log = live.stack.home.log("prices").read_text()
    assert "Traceback" not in log
    assert log.count("price source is down") <= 2 * 2, "once for each source and start"
