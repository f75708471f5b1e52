"""An asset and a market that come while the exchange runs: they trade, are told of and move, with no restart."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.functional.live import PASSWORD, Live, Trader
from tests.functional.test_feeds import feed
from tests.functional.test_rest_trading import symbol, wait_for

SYMBOL, SLUG, ASSET = "SOL/USDT", "SOL-USDT", "SOL"
BOOK, TRADES, TICKER, CANDLES = (f"{kind}.{SYMBOL}" for kind in ("orderbook", "trades", "ticker", "candles"))
GROUP = "gamma"


@pytest.fixture
def traders(live: Live) -> Iterator[list[Trader]]:
    """Two with the new asset; what they leave open is cancelled."""
    live.manage("create_asset", ASSET, "--name", "Solana", "--scale", "8")
    terms = ["--tick", "0.01", "--lot", "0.01", "--max-quantity", "10000", "--min-notional", "1"]
    live.manage("create_instrument", SYMBOL, *terms, "--group", "beta")
    made = live.manage(
        "create_trader",
        *("sol{}@demo.exchange", "--count", "2", "--institution", "demo", "--password", PASSWORD),
        *("--fund", f"{ASSET}=100", "--fund", "USDT=100000", "--json"),
    )
    found = [Trader(live.url, each["email"], each["token"]) for each in json.loads(made)]
    yield found
    for trader in found:
        trader.http.delete("/orders").raise_for_status()
        trader.http.close()


def test_a_new_market_trades_is_told_of_and_moves(live: Live, traders: list[Trader]) -> None:
    seller, buyer = traders
    with feed(live) as public:
        public.subscribe(BOOK, TRADES, TICKER, f"{CANDLES}.1d")  # before anybody has traded
        assert symbol(live, SYMBOL)["status"] == "TRADING"
        resting = seller.sell("5", "20", symbol=SYMBOL)
        first = buyer.buy("2", "20", symbol=SYMBOL)
        assert first["status"] == "FILLED"
        stop = buyer.buy("1", "20", symbol=SYMBOL, order_type="STOP_LIMIT", stop_price="19")
        public.until(lambda: public.known[BOOK].sides() == ([], [("20.00", "3.00")]))
        public.until(lambda: len(public.known[TRADES].told) == 1)
        public.until(lambda: public.known[TICKER].told and public.known[TICKER].told[-1]["last"] == "20.00")
        wait_for(lambda: buyer.get(f"/orders/{stop['order_id']}"), lambda order: order["status"] == "FILLED")
        wait_for(lambda: live.public.get(f"/ticker/{SLUG}").json(), lambda ticker: ticker.get("trades") == 2)
        wait_for(
            lambda: live.public.get(f"/candles/{SLUG}", params={"interval": "1d"}).json()["items"],
            lambda candles: candles and candles[-1]["volume"] == "3",
        )

        live.manage("create_group", GROUP)
        live.stack.add_matcher(GROUP)  # as `make up` does by itself
        before = public.known[BOOK].snapshots
        moved = json.loads(live.manage("move_market", SYMBOL, GROUP, "--reason", "a test", "--json"))
        assert (moved["orders"], moved["to_group"]) == (1, GROUP)
        second = seller.sell("1", "20", symbol=SYMBOL)
        assert buyer.buy("2.5", "20", symbol=SYMBOL)["status"] == "FILLED"
        public.until(lambda: public.known[BOOK].snapshots > before)
        public.until(lambda: public.known[BOOK].sides() == ([], [("20.00", "0.50")]))
        public.until(lambda: [each["number"] for each in public.known[TRADES].told][-2:] == [3, 4])
        candle = public.known[f"{CANDLES}.1d"]
        public.until(lambda: candle.told and candle.told[-1]["trades"] == 4)
    # who came first was filled first, although the group has counted less
    assert seller.get(f"/orders/{resting['order_id']}")["status"] == "FILLED"
    assert seller.get(f"/orders/{second['order_id']}")["filled_quantity"] == "0.5"
    assert live.public.get("/health/ready").json()["checks"][f"matcher:{GROUP}"] == "up"
