"""The names in Redis that more than one package uses: what is there, who writes it, who reads it.

Names that one package keeps to itself stand in that package. What a value looks like is said where it is written.
"""

from __future__ import annotations

# -- matching

FEED_PATTERN = "feed:*"  # all channels of `feed`
TOPS = "tops"  # best bid and ask by instrument; written by matchers, read by intake and tickers
USERS = "users"  # channel: ids of users, as JSON, whose balances no order changed; trading's to the stream


def commands(group: str) -> str:
    """The stream of a group's commands; written by trading, read by its matcher, shown in the back office."""
    return f"commands:{group}"


def matcher(group: str) -> str:
    """The heartbeat of a group's matcher, which writes it; read by the health check and by trading's tasks."""
    return f"matcher:{group}"


def feed(group: str) -> str:
    """The channel of what a group's matcher did, which publishes it; read by the stream and by the price process."""
    return f"feed:{group}"


def book(symbol: str) -> str:
    """A snapshot of a market's book; written by its matcher, read by market data's REST and stream."""
    return f"book:{symbol}"


# -- prices

PRICES = "prices"  # channel: each price that changed; published by the price process, read by the stream
PRICES_ALIVE = "prices:alive"  # heartbeat of the price process; read by the health check


def price(symbol: str) -> str:
    """A market's reference price; written by the price process, read by tickers, pre-trade checks, status page."""
    return f"price:{symbol}"


# -- stops: trading keeps the sets, the price process says which market to look at

STOP_PRICES = (
    "stops:price"  # the price that stops follow, by symbol; written by the price process, read by trading
)
STOPS_MOVED = (
    "stops:moved"  # symbols to look at; written by the price process and matchers, taken by trading's check
)
STOPS_POKED = "stops:poked"  # a check is on its way; set by the price process, taken off by the check
STOPS_BUILT = "stops:built"  # symbols whose sets are complete; trading's own, and the bench's
STOPS_BUILDING = "stops:building"  # held by the one who reads the sets from PostgreSQL; trading's own


def stops(symbol: str, side: str) -> str:
    """A market's armed stops of one side, BUY or SELL; kept by trading, counted by the price process and the bench."""
    return f"stops:{symbol}:{side}"


# -- other processes

STREAM_ALIVE = "stream"  # heartbeat of a stream process; read by the health check
RELAY_ALIVE = "relay:alive"  # heartbeat of the relay of events, {timestamp, kafka}; read by the health check
NOTIFICATIONS = "notifications"  # channel: each new notification; published by its writer, read by the stream
