"""Every message of the feeds, as structs: what they look like on the wire is defined here and nowhere else.

Decimals are strings, times RFC 3339 in UTC. Public channels write prices and quantities with all digits of the
instrument's steps ("50000.00"), user channels as REST does ("50000").

A channel's messages have a contiguous `sequence` within an `epoch`. A SNAPSHOT includes everything up to its
sequence and replaces what the client knew, whenever it comes.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from matching.order_view import UserOrder

Text = Annotated[str, Meta(max_length=100)]
Id = Annotated[str, Meta(max_length=100)] | int
SideName = Literal["BUY", "SELL"]
Time = Annotated[str, Meta(examples=["2026-11-22T20:15:00.123Z"])]
Price = Annotated[str, Meta(examples=["50000.00"])]
Quantity = Annotated[str, Meta(examples=["0.50000"])]
Level = tuple[Price, Quantity]
Interval = Literal["1m", "5m", "15m", "1h", "4h", "1d"]
Checksum = Annotated[
    int,
    Meta(
        ge=0,
        lt=2**32,
        description="CRC32 of the ASCII text: the best 10 bids, best first, each `price:quantity`, joined by "
        "`|`, then `||`, then the best 10 asks in the same way; the texts exactly as sent",
    ),
]


# What a client says


class Auth(msgspec.Struct, forbid_unknown_fields=True):
    """Signs the connection in: with a `token`, and again before it ends, to stay signed in; or with an API key, by
    `api_key`, `timestamp`, `window` and `signature` over GET /stream, as docs/api_keys.md has it.
    """

    type: Literal["AUTH"]
    token: Annotated[str, Meta(max_length=5000, description="an access token")] = ""
    api_key: Annotated[str, Meta(max_length=36, description="the key_id of an API key")] = ""
    timestamp: Annotated[int, Meta(ge=0, lt=10**15, description="milliseconds since 1970")] = 0
    window: Annotated[int, Meta(ge=1, le=60_000, description="milliseconds, 1 to 60000")] = 5000
    signature: Annotated[str, Meta(max_length=128, description="a signature as text")] = ""
    id: Id | None = None


class Subscribe(msgspec.Struct, forbid_unknown_fields=True):
    """Answered by ACK, then a SNAPSHOT of each channel and every change after it."""

    type: Literal["SUBSCRIBE"]
    channels: Annotated[list[Text], Meta(min_length=1, max_length=100)]
    id: Id | None = None


class Unsubscribe(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["UNSUBSCRIBE"]
    channels: Annotated[list[Text], Meta(min_length=1, max_length=100)]
    id: Id | None = None


class Resync(msgspec.Struct, forbid_unknown_fields=True):
    """Asks for what came after `last_sequence` of `epoch`; answered by ACK and those messages, or by a
    SNAPSHOT where they are gone. Without `epoch` the connection must be on the channel already.
    """

    type: Literal["RESYNC"]
    channel: Text
    last_sequence: Annotated[int, Meta(ge=0)]
    epoch: Text | None = None
    id: Id | None = None


class Ping(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["PING"]
    id: Id | None = None


# What the server says of itself


class Ack(msgspec.Struct, tag_field="type", tag="ACK", omit_defaults=True, rename={"of": "for"}):
    """`id` is the one that the client gave; `channels` are those that were accepted."""

    of: Literal["AUTH", "SUBSCRIBE", "UNSUBSCRIBE", "RESYNC", "PING"]
    id: str | int | UnsetType = UNSET
    channels: list[str] | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    expires_at: Time | UnsetType = UNSET


class Error(msgspec.Struct, tag_field="type", tag="ERROR", omit_defaults=True):
    """The connection stays open. `code` is stable and meant for programs."""

    code: str
    detail: str
    channel: str | UnsetType = UNSET
    id: str | int | UnsetType = UNSET


class Heartbeat(msgspec.Struct, tag_field="type", tag="HEARTBEAT"):
    """Each second. The counter goes up by one; `stale` are symbols whose matcher has not been heard of."""

    counter: int
    timestamp: Time
    stale: list[str]


# What is in channels


class Book(msgspec.Struct):
    """The best 100 levels of each side, best first."""

    symbol: str
    bids: list[Level]
    asks: list[Level]
    checksum: Checksum


class BookChanges(msgspec.Struct):
    """Levels to set, or to remove where the quantity is zero; then keep the best 100 a side and forget the
    rest. `checksum` is that of the book afterwards.
    """

    bids: list[Level]
    asks: list[Level]
    checksum: Checksum


class PublicTrade(msgspec.Struct):
    """`side` is the taker's; `number` counts the market's trades without a gap."""

    trade_id: str
    number: int
    price: Price
    quantity: Quantity
    side: SideName
    is_buyer_maker: bool
    executed_at: Time


class Trades(msgspec.Struct):
    """The last 50, newest last."""

    symbol: str
    trades: list[PublicTrade]


class Ticker(msgspec.Struct):
    """`open` to `trades` are of the last 24 hours; `price` is the outside market's, `stale` says not to trust
    it.
    """

    symbol: str
    last: Price | None
    bid: Price | None
    ask: Price | None
    open: Price | None
    high: Price | None
    low: Price | None
    volume: Quantity
    quote_volume: str
    change: str | None
    change_percent: Annotated[str, Meta(examples=["-1.25"])] | None
    trades: int
    price: Price | None
    price_source: Literal["BINANCE_WS", "BINANCE_REST", "LAST_TRADE"] | None
    price_at: Time | None
    stale: bool


class Candle(msgspec.Struct):
    """One interval from `start` on. `closed`: it will not change any more."""

    start: Time
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Quantity
    quote_volume: str
    trades: int
    closed: bool


class Candles(msgspec.Struct):
    """The newest two, newest last; fewer where there are none."""

    symbol: str
    interval: Interval
    candles: list[Candle]


class Orders(msgspec.Struct):
    """The open orders, oldest first."""

    orders: list[UserOrder]


class UserTrade(msgspec.Struct):
    """The user's side of a trade; the fee is in the asset received."""

    trade_id: str
    number: int
    order_id: str
    symbol: str
    side: SideName
    price: str
    quantity: str
    fee: str
    fee_asset: str
    liquidity: Literal["MAKER", "TAKER"]
    executed_at: Time


class UserTrades(msgspec.Struct):
    """The last 50, newest last."""

    trades: list[UserTrade]


class Balance(msgspec.Struct):
    """`held` is what open orders block, `total` is both together."""

    asset: str
    available: str
    held: str
    total: str


class Balances(msgspec.Struct):
    """All of them in a SNAPSHOT, those that changed in a BALANCE_UPDATE."""

    balances: list[Balance]


class UserNotification(msgspec.Struct):
    """What is in `data` depends on the kind: the order, the deposit, the device. `created_at` is when it
    happened."""

    notification_id: str
    kind: str
    event_id: str
    data: dict[str, str]
    created_at: Time


class UserNotifications(msgspec.Struct):
    """The last 50, newest last."""

    notifications: list[UserNotification]


# Channel messages: all have these fields, and `data`


class ChannelMessage(msgspec.Struct, tag_field="type"):
    channel: str
    epoch: str
    sequence: int
    timestamp: Time


class BookSnapshot(ChannelMessage, tag="SNAPSHOT"):
    data: Book


class OrderBookUpdate(ChannelMessage, tag="ORDERBOOK_UPDATE"):
    data: BookChanges


class TradesSnapshot(ChannelMessage, tag="SNAPSHOT"):
    data: Trades


class TradeMessage(ChannelMessage, tag="TRADE"):
    data: PublicTrade


class TickerSnapshot(ChannelMessage, tag="SNAPSHOT"):
    data: Ticker


class TickerMessage(ChannelMessage, tag="TICKER"):
    data: Ticker


class CandlesSnapshot(ChannelMessage, tag="SNAPSHOT"):
    data: Candles


class CandleMessage(ChannelMessage, tag="CANDLE"):
    data: Candle


class OrdersSnapshot(ChannelMessage, tag="SNAPSHOT"):
    data: Orders


class OrderUpdate(ChannelMessage, tag="ORDER_UPDATE"):
    data: UserOrder


class UserTradesSnapshot(ChannelMessage, tag="SNAPSHOT"):
    data: UserTrades


class UserTradeMessage(ChannelMessage, tag="USER_TRADE"):
    data: UserTrade


class BalancesSnapshot(ChannelMessage, tag="SNAPSHOT"):
    data: Balances


class BalanceUpdate(ChannelMessage, tag="BALANCE_UPDATE"):
    data: Balances


class NotificationsSnapshot(ChannelMessage, tag="SNAPSHOT"):
    data: UserNotifications


class NotificationMessage(ChannelMessage, tag="NOTIFICATION"):
    data: UserNotification


encode = msgspec.json.Encoder().encode
