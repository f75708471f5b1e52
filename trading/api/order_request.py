"""From the values of a request to a `NewOrder`: the rules on the form of an order, all broken ones named at once.

Reads nothing but the catalog and changes nothing. What depends on funds or on the market comes later, as a
reject.

    price          LIMIT and STOP_LIMIT only          stop_price     STOP and STOP_LIMIT only
    time_in_force  GTC, IOC, FOK; a MARKET or STOP never rests: IOC, FOK (the first is the default)
    post_only      LIMIT with GTC only

Decimals are texts in plain notation with at most 18 digits on either side of the point. A price and what an
order is worth are bounded too, so that every number fits the database's `numeric(36,18)` and the 64 bits of a
message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from hashlib import blake2b
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from exchange.base.decimals import plain
from exchange.base.http.problems import FieldError
from matching.core.commands import Place
from matching.core.order_terms import TYPE_RULES, OrderTerms
from matching.core.scale import EXACT, minor_text, trim
from matching.core.types import OrderType, SelfTradePrevention, Side, TimeInForce
from matching.order_view import OrderView
from trading.api.bodies import SideName
from trading.api.json_body import TWICE
from trading.orders.order import NewOrder
from trading.reference.catalog import Market, catalog

T = TypeVar("T")

# -- what a request looks like

_PATTERN = r"^[0-9]{1,18}(\.[0-9]{1,18})?$"


def _decimal(description: str, example: str) -> Meta:
    return Meta(pattern=_PATTERN, description=description, examples=[example])


Symbol = Annotated[str, Meta(description="BASE/QUOTE", examples=["BTC/USDT"])]
Quantity = Annotated[str, _decimal("in the base asset, a multiple of the lot size", "0.5")]
Price = Annotated[str, _decimal("in the quote asset, a multiple of the tick size", "50000")]
ClientOrderId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        description="your own name for the order, new for each",
        examples=["buy-1"],
    ),
]


class PlaceOrder(msgspec.Struct, forbid_unknown_fields=True):
    """`price` belongs to LIMIT and STOP_LIMIT, `stop_price` to STOP and STOP_LIMIT. Sent again with the same
    `client_order_id`, an order is not placed twice."""

    symbol: Symbol
    side: SideName
    order_type: OrderType
    quantity: Quantity
    client_order_id: ClientOrderId
    price: Price | None = None
    stop_price: Annotated[str, _decimal("the price that triggers the order", "49000")] | None = None
    time_in_force: (
        Annotated[TimeInForce, Meta(description="GTC if left out; IOC for MARKET and STOP")] | None
    ) = None
    post_only: (
        Annotated[bool, Meta(description="rather reject than trade at once; LIMIT with GTC")] | None
    ) = None
    self_trade_prevention: (
        Annotated[SelfTradePrevention, Meta(description="CANCEL_NEWEST if left out")] | None
    ) = None


class AmendOrder(msgspec.Struct, forbid_unknown_fields=True):
    """What is left out stays. `quantity` is the total, with what is filled already. A smaller quantity keeps
    the order's place in the queue, anything else goes to its end.
    """

    price: Price | None = None
    quantity: Quantity | None = None


class PlaceOrders(msgspec.Struct, forbid_unknown_fields=True):
    orders: Annotated[list[PlaceOrder], Meta(min_length=1, max_length=100)]


# -- and the rules that a schema cannot say

MAX_TICKS = 10**15
MAX_NOTIONAL = 10**18  # whole units of the quote asset
MAX_CLIENT_ORDER_ID = 100
MAX_UNKNOWN = 20  # unknown fields that are named

SIDES = {side.name: side for side in Side}
TYPES = {kind.value: kind for kind in OrderType}
PREVENTIONS = {mode.value: mode for mode in SelfTradePrevention}
TIMES = {rule.times_in_force: {tif.value: tif for tif in rule.times_in_force} for rule in TYPE_RULES.values()}

_LATER_TERMS = msgspec.structs.fields(OrderTerms)[12:]  # than the first fingerprints

ORDER_FIELDS = dict.fromkeys(PlaceOrder.__struct_fields__)
AMENDMENT_FIELDS = dict.fromkeys(AmendOrder.__struct_fields__)

_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")
_DECIMAL_RULE = 'must be a string such as "1.5": digits, at most 18 of them before and 18 after the point'


def read_order(raw: Any, user_id: str, trace_id: str) -> NewOrder | list[FieldError]:
    """One order of a request as `document.load` gave it; a list of what is wrong if anything is."""
    if type(raw) is not dict:
        return [FieldError("", "invalid", f"must be an object with the fields {', '.join(ORDER_FIELDS)}")]
    reader = Reader(raw, ORDER_FIELDS)
    market = reader.market("symbol")
    side = reader.choice("side", SIDES)
    kind = reader.choice("order_type", TYPES)
    client_order_id = reader.client_order_id("client_order_id")
    rule = TYPE_RULES[kind or OrderType.LIMIT]
    time_in_force = reader.choice("time_in_force", TIMES[rule.times_in_force], rule.times_in_force[0])
    post_only = reader.flag("post_only")
    prevention = reader.choice("self_trade_prevention", PREVENTIONS, SelfTradePrevention.CANCEL_NEWEST)
    lots = reader.quantity("quantity", market)
    price = reader.price("price", market)
    stop_price = reader.price("stop_price", market)
    if kind:
        reader.goes_with("price", kind, rule.needs_price)
        reader.goes_with("stop_price", kind, rule.needs_stop_price)
        if post_only and not (rule.may_be_post_only and time_in_force is TimeInForce.GTC):
            reader.wrong(
                "post_only",
                "must be false, or the order a LIMIT with GTC: it promises to rest",
                "not_allowed",
            )
    if market and price and lots:
        reader.worth(market, price, lots)
    if reader.errors:
        return reader.errors

    assert market and side and kind and client_order_id and time_in_force and prevention and lots
    terms = Place(
        "",
        market.id,
        user_id,
        side,
        kind,
        time_in_force,
        price or 0,
        lots,
        stop_price or 0,
        post_only,
        prevention,
    )
    return NewOrder(market, terms, client_order_id, fingerprint(terms), trace_id)


def fingerprint(terms: Place) -> int:
    """A signed 64-bit hash of what was asked for. It is compared with those stored, so a term that came later counts
    only where it is given: what was placed before is the same order after it."""
    meaning = (
        f"{terms.instrument} {terms.side} {terms.type} {terms.time_in_force} {terms.quantity} {terms.price or None} "
        f"{terms.stop_price or None} {terms.post_only} {terms.prevention}"
    )
    for field in _LATER_TERMS:
        if (value := getattr(terms, field.name)) != field.default:
            meaning += f" {field.name}={value}"
    return int.from_bytes(blake2b(meaning.encode(), digest_size=8).digest(), signed=True)


def read_amendment(
    raw: Any, market: Market, order: OrderView
) -> tuple[int | None, int | None] | list[FieldError]:
    """The new price in ticks and the new quantity in lots of `order`; None for what stays, and not both."""
    if type(raw) is not dict:
        return [FieldError("", "invalid", "must be an object with price, quantity or both")]
    reader = Reader(raw, AMENDMENT_FIELDS)
    price = reader.price("price", market)
    lots = reader.quantity("quantity", market, required=False)
    if price is None and lots is None and not reader.errors:
        reader.wrong("", "must have a price, a quantity or both", "missing")
    if order.price is not None and not reader.errors:
        new_price = price or market.scale.to_ticks(Decimal(order.price))
        new_lots = lots or market.scale.to_lots(Decimal(order.quantity))
        assert new_price and new_lots, order
        reader.worth(market, new_price, new_lots)
    return reader.errors or (price, lots)


class Reader:
    """Typed looks at one JSON object. A look gives None for what is missing or wrong, and notes what is
    wrong.
    """

    __slots__ = ("errors", "raw")

    def __init__(self, raw: dict[str, Any], fields: Mapping[str, None]) -> None:
        self.raw = raw
        self.errors: list[FieldError] = []
        if not raw.keys() <= fields.keys():
            for name in sorted(raw.keys() - fields.keys())[:MAX_UNKNOWN]:
                self.wrong(_shown(name), f"is not a field here: {', '.join(fields)}", "unknown")

    def wrong(self, field: str, detail: str, code: str = "invalid") -> None:
        self.errors.append(FieldError(field, code, detail))

    def text(self, name: str, rule: str, *, required: bool = True) -> str | None:
        """A string; null is as if the field were not there. `rule` says what would be right."""
        value = self.raw.get(name)
        if type(value) is str:
            return value
        if value is TWICE:
            self.wrong(name, "is given twice", "duplicate")
        elif value is not None:
            self.wrong(name, rule)
        elif required:
            self.wrong(name, f"is missing: {rule}", "missing")
        return None

    def choice(self, name: str, choices: Mapping[str, T], default: T | None = None) -> T | None:
        """Required where there is no default."""
        value = self.raw.get(name)
        if value is None and default is not None:
            return default
        if type(value) is str and value in choices:
            return choices[value]
        rule = f"must be one of {', '.join(choices)}"
        text = self.text(name, rule)
        if text is not None:
            self.wrong(name, f'{rule}, not "{_shown(text)}"')
        return None

    def flag(self, name: str) -> bool:
        value = self.raw.get(name)
        if value is True:
            return True
        if value is TWICE:
            self.wrong(name, "is given twice", "duplicate")
        elif value is not False and value is not None:
            self.wrong(name, "must be true or false")
        return False

    def client_order_id(self, name: str) -> str | None:
        rule = f"must be a text of 1 to {MAX_CLIENT_ORDER_ID} printable characters, new for each order"
        text = self.text(name, rule)
        if text is not None and not (0 < len(text) <= MAX_CLIENT_ORDER_ID and text.isprintable()):
            self.wrong(name, rule)
            return None
        return text

    def market(self, name: str) -> Market | None:
        text = self.raw.get(name)
        market = catalog.market(text) if type(text) is str else None
        if market is None:
            known = ", ".join(market.symbol for market in catalog.markets())
            text = self.text(name, f"must be one of {known}")
            if text is not None:
                self.wrong(name, f'must be one of {known}, not "{_shown(text)}"', "unknown_symbol")
        return market

    def decimal(self, name: str, *, required: bool) -> str | None:
        text = self.text(name, _DECIMAL_RULE, required=required)
        if text is not None and not _DECIMAL.fullmatch(text):
            self.wrong(name, _DECIMAL_RULE)
            return None
        return text

    def price(self, name: str, market: Market | None) -> int | None:
        """In ticks."""
        text = self.decimal(name, required=False)
        if text is None or market is None:
            return None
        ticks = market.scale.to_ticks(Decimal(text))
        if ticks is None:
            self.wrong(name, _multiple("tick size", market.tick_size, Decimal(text)), "tick_size")
        elif ticks == 0:
            self.wrong(name, f"must be at least {plain(market.tick_size)}", "too_small")
        elif ticks > MAX_TICKS:
            self.wrong(name, f"must be at most {trim(market.scale.price_text(MAX_TICKS))}", "too_large")
        else:
            return ticks
        return None

    def quantity(self, name: str, market: Market | None, *, required: bool = True) -> int | None:
        """In lots."""
        text = self.decimal(name, required=required)
        if text is None or market is None:
            return None
        lots = market.scale.to_lots(Decimal(text))
        if lots is None:
            self.wrong(name, _multiple("lot size", market.lot_size, Decimal(text)), "lot_size")
        elif lots < market.min_lots:
            self.wrong(
                name, f"must be at least {trim(market.scale.quantity_text(market.min_lots))}", "too_small"
            )
        elif lots > market.max_lots:
            self.wrong(
                name, f"must be at most {trim(market.scale.quantity_text(market.max_lots))}", "too_large"
            )
        else:
            return lots
        return None

    def goes_with(self, name: str, kind: OrderType, wanted: bool) -> None:
        """That `name`, price or stop_price, is there exactly if this type of order has one."""
        if (self.raw.get(name) is not None) is wanted:
            return
        if wanted:
            self.wrong(name, f"is missing: a {kind} order needs one, {_DECIMAL_RULE}", "missing")
        else:
            self.wrong(name, f"must be left out: a {kind} order has none", "not_allowed")

    def worth(self, market: Market, ticks: int, lots: int) -> None:
        """That price × quantity is within what the market takes."""
        value = market.scale.quote_minor(ticks, lots)
        if market.min_notional <= value < MAX_NOTIONAL * 10**market.quote.scale:
            return
        least = trim(minor_text(market.min_notional, market.quote.scale))
        given = trim(minor_text(value, market.quote.scale))
        small = value < market.min_notional
        bound = f"at least {least}" if small else f"below {MAX_NOTIONAL}"
        self.wrong(
            "quantity",
            f"times price must be {bound} {market.quote.code}, not {given}",
            "min_notional" if small else "too_large",
        )


def _multiple(name: str, step: Decimal, value: Decimal) -> str:
    near = EXACT.multiply(max(EXACT.divide_int(value, step), Decimal(1)), step)
    return f"must be a multiple of the {name} {plain(step)}, such as {plain(near)}"


def _shown(text: str) -> str:
    """What a caller sent, safe to send back: short, and without what UTF-8 cannot say."""
    short = text if len(text) <= 40 else f"{text[:40]}…"
    return short.encode(errors="backslashreplace").decode()
