"""Makes a channel of any name and registers it for what it reads of the feed."""

from __future__ import annotations

import redis.asyncio

from marketdata.stream.balances import BalanceReader, BalancesChannel
from marketdata.stream.books import BookChannel, ConflatedBookChannel
from marketdata.stream.candles import CandlesChannel
from marketdata.stream.channel import Channel
from marketdata.stream.feed import Feed
from marketdata.stream.markets import Market, Markets, Name
from marketdata.stream.notifications import NotificationsChannel
from marketdata.stream.private import OrdersChannel, UserTradesChannel
from marketdata.stream.routes import Routes
from marketdata.stream.tasks import Tasks
from marketdata.stream.ticker import TickerChannel
from marketdata.stream.trades import TradesChannel


class Factory:
    def __init__(
        self, markets: Markets, routes: Routes, feed: Feed, client: redis.asyncio.Redis, tasks: Tasks
    ) -> None:
        self._markets = markets
        self._routes = routes
        self._feed = feed
        self._client = client
        self._tasks = tasks
        self._reader = BalanceReader(tasks)

    def make(self, name: Name, user: str) -> Channel:
        """The market must have been found; `user` is empty for public channels."""
        if user:
            channel = self._private(name, user)
            if name.kind != "user.notifications":  # no matcher sends it anything
                self._routes.losers[None].add(channel)
        else:
            market = self._markets.get(name.symbol)
            assert market is not None, "a channel is made after its market was found"
            channel = self._public(name, market)
            self._routes.losers[market.group].add(channel)
        return channel

    def _public(self, name: Name, market: Market) -> Channel:
        routes, text, chain = self._routes, str(name), self._feed.chain(market.group)
        match name.kind:
            case "orderbook":
                kind = ConflatedBookChannel if name.option else BookChannel
                return kind(text, market, chain, routes.books)
            case "trades":
                trades = TradesChannel(text, market, self._tasks)
                routes.trades[market.id].add(trades)
                return trades
            case "candles":
                candles = CandlesChannel(text, market, name.option, self._tasks)
                routes.trades[market.id].add(candles)
                routes.times[market.group].add(candles)
                return candles
            case "ticker":
                ticker = TickerChannel(text, market, chain, routes.books, self._client, self._tasks)
                routes.trades[market.id].add(ticker)
                routes.tickers[market.symbol].add(ticker)
                return ticker
        raise AssertionError(f"there is no channel {text}")

    def _private(self, name: Name, user: str) -> Channel:
        routes = self._routes
        match name.kind:
            case "user.orders":
                orders = OrdersChannel(name.kind, user, self._markets, self._tasks)
                routes.user_orders[user].add(orders)
                return orders
            case "user.trades":
                trades = UserTradesChannel(name.kind, user, self._markets, self._tasks)
                routes.user_trades[user].add(trades)
                return trades
            case "user.balances":
                balances = BalancesChannel(name.kind, user, self._reader)
                routes.user_orders[user].add(balances)
                routes.user_trades[user].add(balances)
                routes.balances[user].add(balances)
                return balances
            case "user.notifications":
                notifications = NotificationsChannel(name.kind, user, self._tasks)
                routes.notifications[user].add(notifications)
                return notifications
        raise AssertionError(f"there is no channel {name.kind}")
