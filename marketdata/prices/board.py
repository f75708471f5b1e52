"""All markets: what each source said, and what is not published yet. Pure: the time is given.

Stops follow the source that their instrument names:
- LAST_TRADE: the last trade of our own, whatever the outside market says.
- MARKET: the outside market, and only while its price is fresh. Where it is not, there is no price for stops
  (`stop_price` is None) and they wait: our own trades do not stand in for it, because not to depend on them
  is what MARKET is chosen for.

A change is published at once, but at most each PAUSE seconds and market, the newest then; and each LIFE seconds
in any case, so that readers see life and a Redis that lost everything is filled again.

Why it is so: docs/decisions/029-prices.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from marketdata.models.prices import Source
from marketdata.prices.choice import NEVER, Choice, View
from marketdata.prices.quotes import Quote

PAUSE = 0.1
LIFE = 1.0


class Listed(NamedTuple):
    """An instrument, as far as prices go."""

    id: int
    symbol: str
    group: str
    market_symbol: str
    by_market: bool  # what triggers its stops: the outside market, or our own last trade


class News(NamedTuple):
    """What readers should know. `view` is None when a price that was there is none any more."""

    listed: Listed
    view: View | None
    stop_price: str | None
    moved: bool  # the price that stops follow changed

    def differs(self, before: News | None) -> bool:
        return before is None or (self.view, self.stop_price) != (before.view, before.stop_price)


@dataclass(slots=True, eq=False)
class _Line:
    listed: Listed
    choice: Choice
    number: int = 0  # of the last trade
    published: News | None = None
    published_at: float = NEVER
    saved: View | None = None


class Board:
    def __init__(self, patience: Mapping[Source, float], settle: float) -> None:
        self._patience, self._settle = patience, settle
        self._lines: dict[int, _Line] = {}
        self._of_market: dict[str, list[_Line]] = {}
        self._of_group: dict[str, list[_Line]] = {}
        self._changed: set[_Line] = set()

    def __len__(self) -> int:
        return len(self._lines)

    def adopt(self, instruments: Iterable[Listed]) -> None:
        """These are all there are."""
        old, self._lines = self._lines, {}
        for listed in instruments:
            line = old.get(listed.id) or _Line(listed, self._choice())
            if line.listed.market_symbol != listed.market_symbol:
                line.choice = self._own_alone(line.choice)
            line.listed = listed
            self._lines[listed.id] = line
        self._of_market, self._of_group = defaultdict(list), defaultdict(list)
        for line in self._lines.values():
            self._of_market[line.listed.market_symbol].append(line)
            self._of_group[line.listed.group].append(line)
        self._changed = set(self._lines.values())

    def record_quote(self, source: Source, market_symbol: str, quote: Quote, now: float) -> None:
        """The outside market's price."""
        for line in self._of_market.get(market_symbol, ()):
            line.choice.record(source, quote, now)
            self._changed.add(line)

    def vouch(self, source: Source, market_symbols: Iterable[str], at: float) -> None:
        for symbol in market_symbols:
            for line in self._of_market.get(symbol, ()):
                line.choice.vouch(source, at)

    def trade(self, instrument: int, number: int, quote: Quote) -> None:
        """A trade of our own; one that is older than what is known says nothing."""
        line = self._lines.get(instrument)
        if line is not None and number > line.number:
            line.number = number
            line.choice.recall(Source.LAST_TRADE, quote)
            self._changed.add(line)

    def vouch_for_trades(self, group: str, now: float) -> None:
        """No trade of `group` is unknown at this moment."""
        for line in self._of_group.get(group, ()):
            line.choice.vouch(Source.LAST_TRADE, now)

    def instruments(self) -> set[int]:
        return set(self._lines)

    def in_group(self, group: str) -> list[int]:
        return [line.listed.id for line in self._of_group.get(group, ())]

    def markets(self) -> frozenset[str]:
        """The outside names of all that have one."""
        return frozenset(self._of_market) - {""}

    def uncertain(self, now: float) -> list[str]:
        """The outside names of those whose stream can't be relied on alone."""
        return [
            symbol
            for symbol in sorted(self.markets())
            if not all(line.choice.leans_on(Source.BINANCE_WS, now) for line in self._of_market[symbol])
        ]

    def news(self, now: float, everything: bool) -> list[News]:
        """What is due to be published, among what changed or among all. `mark_published` marks it as done; the rest
        is found again among all.
        """
        lines = list(self._lines.values()) if everything else list(self._changed)
        found = []
        for line in lines:
            if now - line.published_at < PAUSE:
                continue
            self._changed.discard(line)
            news = self._look(line, now)
            if news is not None and (news.differs(line.published) or now - line.published_at >= LIFE):
                found.append(news)
        return found

    def mark_published(self, news: Iterable[News], now: float) -> None:
        for each in news:
            line = self._lines.get(each.listed.id)
            if line is not None:
                line.published, line.published_at = each, now

    @property
    def waiting(self) -> bool:
        """Something changed that may not be published yet."""
        return bool(self._changed)

    def unsaved(self, now: float) -> list[tuple[int, View]]:
        """The prices that the table does not have, by instrument. `save` marks them as done."""
        views = ((line, line.choice.look(now)) for line in self._lines.values())
        return [(line.listed.id, view) for line, view in views if view is not None and view != line.saved]

    def saved(self, rows: Iterable[tuple[int, View]]) -> None:
        for id, view in rows:
            if id in self._lines:
                self._lines[id].saved = view

    def _choice(self) -> Choice:
        return Choice(self._patience, self._settle)

    def _own_alone(self, choice: Choice) -> Choice:
        """What is left when the outside market goes by another name: our own last trade."""
        mine, last = self._choice(), choice.quote(Source.LAST_TRADE)
        if last is not None:
            mine.recall(Source.LAST_TRADE, last)
        return mine

    def _look(self, line: _Line, now: float) -> News | None:
        """None: there is no price, and none was published."""
        view = line.choice.look(now)
        if view is None and (line.published is None or line.published.view is None):
            return None
        if line.listed.by_market:
            quote = view.quote if view is not None and view.source.outside and not view.stale else None
        else:
            quote = line.choice.quote(Source.LAST_TRADE)
        stop_price = None if quote is None else quote.price
        before = None if line.published is None else line.published.stop_price
        return News(line.listed, view, stop_price, stop_price is not None and stop_price != before)
