"""The words of the matching core: sides, order types, statuses and reasons.

Pure: no I/O, no clock, no randomness. Values are what travels in commands and events;
members whose value is a string are also what the database and the API say.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

OrderId = str
UserId = str
InstrumentId = int


class Side(IntEnum):
    BUY = 1
    SELL = 2

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class SelfTradePrevention(StrEnum):
    CANCEL_NEWEST = "CANCEL_NEWEST"
    CANCEL_OLDEST = "CANCEL_OLDEST"
    CANCEL_BOTH = "CANCEL_BOTH"
    DECREMENT = "DECREMENT"


class MarketStatus(StrEnum):
    TRADING = "TRADING"
    POST_ONLY = "POST_ONLY"
    CANCEL_ONLY = "CANCEL_ONLY"
    HALTED = "HALTED"


class Reason(StrEnum):
    """Why an order was rejected or its rest cancelled, or a command refused."""

    # a Place that took no effect (order REJECTED)
    MARKET_HALTED = "MARKET_HALTED"
    POST_ONLY_WOULD_CROSS = "POST_ONLY_WOULD_CROSS"
    FOK_UNFILLED = "FOK_UNFILLED"
    NO_LIQUIDITY = "NO_LIQUIDITY"
    SELF_TRADE = "SELF_TRADE"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    # a rest that was taken away (order CANCELLED); SELF_TRADE serves here too
    USER_CANCELLED = "USER_CANCELLED"
    OPERATOR_CANCELLED = "OPERATOR_CANCELLED"
    IOC_REST = "IOC_REST"
    MARKET_REST = "MARKET_REST"
    # a Cancel, Amend or Trigger that took no effect (the order is unchanged)
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    ALREADY_TRIGGERED = "ALREADY_TRIGGERED"
    QUANTITY_NOT_ABOVE_FILLED = "QUANTITY_NOT_ABOVE_FILLED"
    NOT_AMENDABLE = "NOT_AMENDABLE"
