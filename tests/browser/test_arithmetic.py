"""The pure parts of the terminal's scripts, in the browser they run in: exact decimals, what an order costs,
what people type. Each expression is JavaScript over the modules' exports.
"""

from __future__ import annotations

from typing import Any

from tests.browser.terminal import Terminal

MODULES = ("decimal", "book", "crc32", "terms", "typing")
NAMES = """
const [decimal, book, crc32, terms, typing] = modules;
const D = decimal.Decimal.of;
const market = terms.rules({symbol: "BTC/USDT", base: "BTC", quote: "USDT", base_scale: 8, quote_scale: 8,
  tick_size: "0.01", lot_size: "0.00001", min_quantity: "0.00001", max_quantity: "1000", min_notional: "1",
  collar: "0.05"});
const best = {bid: D("50000.00"), ask: D("50001.00")};
const nobody = {bid: null, ask: null};
const fees = {maker: "0.001", taker: "0.0015"};
const asks = [["50001.00", "0.5"], ["50010.00", "1"], ["60000.00", "9"]].map(([text, amount]) => ({text, amount}));
const order = (fields) => ({type: "LIMIT", side: "BUY", price: "", stop_price: "", quantity: "", ...fields});
"""

EXPECTED: dict[str, Any] = {
    'D("0.1").plus(D("0.2")).toString()': "0.3",
    'D("1.005").times(D("100")).toString()': "100.5",
    'D("10").over(D("3"), 4).toString()': "3.3333",
    'D("1.239").floorTo(D("0.01")).toString()': "1.23",
    'D("1.231").ceilTo(D("0.01")).toString()': "1.24",
    'D("-0.001").toFixed(2)': "0.00",
    'D("123456789012345678.000000000000000001").toString()': "123456789012345678.000000000000000001",
    'decimal.Decimal.parse("1e5")': None,
    'decimal.Decimal.parse("1.")': None,
    'crc32.crc32("123456789")': 0xCBF43926,
    # what an order may trade at, costs and carries
    'terms.bound(order({type: "MARKET"}), market, best).toString()': "52501.05",
    'terms.bound(order({type: "MARKET", side: "SELL"}), market, best).toString()': "47500",
    'terms.bound(order({type: "MARKET"}), market, nobody)': None,
    'terms.affordable(order({price: "50000"}), market, D("1000"), 25, best).toString()': "0.005",
    'terms.affordable(order({type: "MARKET", side: "SELL"}), market, D("1.23456789"), 100, best).toString()': "1.23456",
    'terms.estimate(order({type: "MARKET", quantity: "1"}), market, asks, fees, best).value.toString()': "50005.5",
    'terms.estimate(order({quantity: "1", price: "49000"}), market, asks, fees, best).fee.toString()': "0.001",
    'terms.feeOn(D("0.00001"), "0.0015", 8).toString()': "0.00000002",
    'terms.errors(order({price: "0.1", quantity: "1"}), market, null, best).quantity.code': "min_notional",
    'terms.errors(order({price: "1.001", quantity: "1"}), market, null, best).price.code': "tick_size",
    'terms.errors(order({price: "9", quantity: "0.000001"}), market, null, best).quantity.code': "too_small",
    'terms.errors(order({price: "100", quantity: "11"}), market, D("1099"), best).form.code': "insufficient_funds",
    'terms.errors(order({price: "100", quantity: "11"}), market, D("1100"), best)': {},
    # typed and pasted
    'typing.tidy("1.234.5", ",")': "1,2345",
    'typing.pasted("59.968,00 USDT", ",")': "59968,00",
    'typing.pasted("59.968,00", ".")': "59968.00",
    'typing.pasted("1,234", ".")': "1234",
    'typing.pasted("1,5", ".")': "1.5",
    'typing.pasted("1.2.3", ".")': "",
    'typing.plain(",5", ",")': "0.5",
}


def test_exact_to_the_last_digit(terminal: Terminal) -> None:
    imports = ", ".join(f'import("/static/terminal/js/{name}.js")' for name in MODULES)
    rows = ", ".join(EXPECTED)
    found = terminal.page.evaluate(
        f"async () => {{ const modules = await Promise.all([{imports}]); {NAMES} return [{rows}]; }}"
    )
    assert dict(zip(EXPECTED, found, strict=True)) == EXPECTED
