"""Market data over HTTP: candles, tickers and TradingView's data feed, from trades that were just made."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.functional.live import Live, Trader, problem
from tests.market import eventually

INTERVALS = ["1m", "5m", "15m", "1h", "4h", "1d"]
RESOLUTIONS = ["1", "5", "15", "60", "240", "1D"]


@pytest.fixture
def traded(alice: Trader, bob: Trader) -> list[Any]:
    """Three trades of BTC/USDT, as `GET trades` has them, oldest first."""
    for price in ("50000", "50100.5", "49900"):
        alice.sell("0.1", price)
        bob.buy("0.1", price)
    return list(reversed(alice.get("/trades", symbol="BTC/USDT", limit=3)["items"]))


def candles(live: Live, **parameters: Any) -> Any:
    answer = live.public.get("/candles/BTC-USDT", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def every_trade(live: Live) -> list[Any]:
    """All trades of BTC/USDT."""
    found: list[Any] = []
    page: Any = {"next_cursor": None}
    while not found or page["next_cursor"]:
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        page = live.public.get("/trades", params={"symbol": "BTC/USDT", "limit": 500, **cursor}).json()
        found += page["items"]
    return found


@pytest.mark.parametrize("interval", INTERVALS)
def test_candles_have_every_trade_at_once(live: Live, traded: list[Any], interval: str) -> None:
    page = candles(live, interval=interval, limit=1000)
    assert (page["symbol"], page["interval"]) == ("BTC/USDT", interval)
    trades = every_trade(live)
    assert sum(bar["trades"] for bar in page["items"]) == len(trades)
    assert sum(Decimal(bar["volume"]) for bar in page["items"]) == sum(
        Decimal(each["quantity"]) for each in trades
    )
    assert sum(Decimal(bar["quote_volume"]) for bar in page["items"]) == sum(
        Decimal(each["quantity"]) * Decimal(each["price"]) for each in trades
    )
    last = page["items"][-1]
    assert last["close"] == traded[-1]["price"] == "49900"
    assert not last["closed"] or moment(last["start"]) + width(interval) <= datetime.now(UTC)


def moment(text: str) -> datetime:
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


def width(interval: str) -> timedelta:
    return timedelta(minutes=int(interval[:-1]) * {"m": 1, "h": 60, "d": 1440}[interval[-1]])


def test_a_span_is_given_in_seconds_or_rfc_3339(live: Live, traded: list[Any]) -> None:
    start = moment(candles(live, interval="1m", limit=1)["items"][0]["start"])
    end = start + timedelta(minutes=1)
    in_seconds = candles(live, interval="1m", **{"from": int(start.timestamp()), "to": int(end.timestamp())})
    in_words = candles(
        live, interval="1m", **{"from": f"{start:%Y-%m-%dT%H:%M:%SZ}", "to": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
    )
    assert in_seconds == in_words
    assert [bar["start"] for bar in in_words["items"]] == [f"{start:%Y-%m-%dT%H:%M:%SZ}"]


def test_quiet_minutes_are_filled_on_request(live: Live, traded: list[Any]) -> None:
    later = datetime.now(UTC) + timedelta(minutes=1)
    bars = candles(live, interval="1m", fill="true", limit=1000, to=f"{later:%Y-%m-%dT%H:%M:%SZ}")["items"]
    starts = [moment(bar["start"]) for bar in bars]
    assert all(after - before == timedelta(minutes=1) for before, after in pairwise(starts))
    assert sum(bar["trades"] for bar in bars) == len(every_trade(live))


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ({}, {"interval": "missing"}),
        ({"interval": "2m"}, {"interval": "invalid"}),
        ({"interval": "1m", "limit": "1001"}, {"limit": "invalid"}),
        ({"interval": "1m", "fill": "yes"}, {"fill": "invalid"}),
        ({"interval": "1m", "from": "yesterday", "to": "12345678901"}, {"from": "invalid", "to": "invalid"}),
        ({"interval": "1m", "from": "100", "to": "100"}, {"to": "invalid"}),
        ({"interval": "1m", "since": "100"}, {"since": "unknown"}),
    ],
)
def test_wrong_parameters_are_named(live: Live, parameters: dict[str, str], wrong: dict[str, str]) -> None:
    body = problem(live.public.get("/candles/BTC-USDT", params=parameters), 400, "invalid_request")
    assert {error["field"]: error["code"] for error in body["errors"]} == wrong


@pytest.mark.parametrize(
    "path",
    [
        "/candles/X-Y?interval=1m",
        "/candles/X-Y?interval=1m&fill=true",
        "/ticker/X-Y",
        "/orderbook/X-Y/history",
    ],
)
def test_a_market_that_does_not_exist(live: Live, path: str) -> None:
    problem(live.public.get(path), 404, "symbol_not_found")


def test_the_ticker_follows_within_moments(live: Live, traded: list[Any], alice: Trader) -> None:
    trades = every_trade(live)
    eventually(lambda: live.public.get("/ticker/BTC-USDT").json()["trades"] == len(trades))
    alice.buy("0.1", "40000")
    eventually(lambda: live.public.get("/ticker/BTC-USDT").json()["bid"] == "40000")
    ticker = live.public.get("/ticker/BTC-USDT").json()
    assert (ticker["symbol"], ticker["last"]) == ("BTC/USDT", "49900")
    assert ticker["open"] == trades[-1]["price"]
    assert Decimal(ticker["high"]) == max(Decimal(each["price"]) for each in trades)
    assert Decimal(ticker["low"]) == min(Decimal(each["price"]) for each in trades)
    assert Decimal(ticker["volume"]) == sum(Decimal(each["quantity"]) for each in trades)
    assert Decimal(ticker["change"]) == Decimal(ticker["last"]) - Decimal(ticker["open"])
    listed = next(
        each for each in live.public.get("/tickers").json()["items"] if each["symbol"] == "BTC/USDT"
    )
    assert (listed["last"], listed["volume"]) == (ticker["last"], ticker["volume"])


def test_depth_history_answers(live: Live) -> None:
    """The books themselves come with the minute; `tests/integration/test_depth.py` has them."""
    page = live.public.get("/orderbook/BTC-USDT/history", params={"limit": 5}).json()
    assert page["symbol"] == "BTC/USDT"
    problem(live.public.get("/orderbook/BTC-USDT/history?limit=501"), 400, "invalid_request")


def test_a_rebuild_finds_nothing_to_correct(live: Live, traded: list[Any]) -> None:
    told = json.loads(live.manage("candles", "--rebuild", "--dry-run", "--json"))
    assert told["differences"] == 0
    assert {item["symbol"] for item in told["items"]} >= {"BTC/USDT", "ETH/USDT"}


class TestUdf:
    def get(self, live: Live, path: str, **parameters: Any) -> httpx.Response:
        return live.public.get(f"{live.host}/udf/{path}", params=parameters)

    def test_config_and_time(self, live: Live) -> None:
        config = self.get(live, "config").json()
        assert config["supported_resolutions"] == RESOLUTIONS
        assert (config["supports_search"], config["supports_group_request"], config["supports_time"]) == (
            True,
            False,
            True,
        )
        answer = self.get(live, "time")
        assert answer.headers["content-type"].startswith("text/plain")
        assert abs(int(answer.text) - time.time()) < 60
        assert "set-cookie" not in answer.headers

    @pytest.mark.parametrize("name", ["BTC/USDT", "BTC-USDT", "MyTrader:BTC/USDT"])
    def test_a_symbol(self, live: Live, name: str) -> None:
        found = self.get(live, "symbols", symbol=name).json()
        (listed,) = [
            each for each in live.public.get("/symbols").json()["items"] if each["symbol"] == "BTC/USDT"
        ]
        assert (found["name"], found["ticker"], found["type"]) == ("BTC/USDT", "BTC/USDT", "crypto")
        assert Decimal(found["minmov"]) / found["pricescale"] == Decimal(listed["tick_size"])
        assert Decimal(1).scaleb(-found["volume_precision"]) == Decimal(listed["lot_size"])
        assert (found["session"], found["timezone"]) == ("24x7", "Etc/UTC")
        assert found["supported_resolutions"] == RESOLUTIONS

    @pytest.mark.parametrize("path", ["history", "symbols"])
    def test_a_symbol_that_no_database_can_hold_is_refused(self, live: Live, path: str) -> None:
        parameters = {"resolution": "1", "from": 0, "to": 1} if path == "history" else {}
        answer = self.get(live, path, symbol="BTC\0/USDT", **parameters)
        assert answer.status_code == 400
        assert "NUL" in answer.text

    def test_search(self, live: Live) -> None:
        def symbols(**parameters: Any) -> list[str]:
            return [each["symbol"] for each in self.get(live, "search", **parameters).json()]

        assert symbols(query="btc") == ["BTC/TRY", "BTC/USDT"]
        assert symbols(query="BTCUSDT", type="crypto", exchange="", limit=30) == ["BTC/USDT"]
        assert symbols(query="usdt", limit=1) == ["BTC/USDT"]
        assert symbols(query="btc", type="stock") == []

    @pytest.mark.parametrize(("resolution", "interval"), list(zip(RESOLUTIONS, INTERVALS, strict=True)))
    def test_history_is_the_candles(
        self, live: Live, traded: list[Any], resolution: str, interval: str
    ) -> None:
        asked = {"symbol": "BTC/USDT", "resolution": resolution, "from": 0, "to": int(time.time()) + 60}
        answer = self.get(live, "history", **asked)
        bars = json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)
        items = candles(live, interval=interval, limit=1000)["items"]
        assert bars.pop("s") == "ok"
        assert bars == {
            "t": [int(moment(item["start"]).timestamp()) for item in items],
            "o": [Decimal(item["open"]) for item in items],
            "h": [Decimal(item["high"]) for item in items],
            "l": [Decimal(item["low"]) for item in items],
            "c": [Decimal(item["close"]) for item in items],
            "v": [Decimal(item["volume"]) for item in items],
        }
        last = self.get(live, "history", **asked | {"from": asked["to"], "countback": 1}).json()
        assert last["t"] == [int(bars["t"][-1])]

    def test_no_data_says_where_there_is_some(self, live: Live, traded: list[Any]) -> None:
        asked = {"symbol": "BTC/USDT", "resolution": "1"}
        newest = moment(candles(live, interval="1m", limit=1)["items"][0]["start"])
        later = int(time.time()) + 3600
        empty = self.get(live, "history", **asked, **{"from": later, "to": later + 60}).json()
        assert (empty["s"], empty["t"], empty["nextTime"]) == ("no_data", [], int(newest.timestamp()))
        before = self.get(live, "history", **asked, **{"from": -100, "to": 60}).json()
        assert before["s"] == "no_data"
        assert "nextTime" not in before

    def test_refusals_speak_the_protocol(self, live: Live) -> None:
        for answer, status in (
            (self.get(live, "symbols", symbol="X/Y"), 404),
            (self.get(live, "symbols"), 400),
            (self.get(live, "history", symbol="X/Y", resolution="1", **{"from": 0, "to": 60}), 404),
            (self.get(live, "history", symbol="BTC/USDT", resolution="7", **{"from": 0, "to": 60}), 400),
            (self.get(live, "history", symbol="BTC/USDT", resolution="1"), 400),
        ):
            assert answer.status_code == status
            assert answer.json()["s"] == "error"
            assert answer.json()["errmsg"] == answer.json()["detail"]
