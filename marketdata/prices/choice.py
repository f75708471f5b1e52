"""Which of a market's sources has the word. Pure: the time is given, in seconds of any steady clock.

- A source is fresh while its price was confirmed within its patience: by sending it again, or by
  showing that the one it sent is still the last (`vouch`). A quiet market is not a dead source.
- When the source that has the word is no longer fresh, the best fresh one takes over at once.
- A better one takes the word from one that is fresh only when it has been vouched for over `settle` seconds
  without growing stale in between: a source that comes and goes does not make the price jump to and fro.
- When no source is fresh, the last word stays, and is called stale.

Why it is so: docs/decisions/029-prices.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from marketdata.models.prices import Source
from marketdata.prices.quotes import Quote

NEVER = float("-inf")


class View(NamedTuple):
    source: Source
    quote: Quote
    stale: bool


@dataclass(slots=True)
class _SourceState:
    patience: float
    quote: Quote | None = None
    vouched: float = NEVER
    since: float = NEVER  # vouched for without a break since then

    def fresh(self, now: float) -> bool:
        return now - self.vouched < self.patience

    def settled(self, seconds: float) -> bool:
        return self.vouched - self.since >= seconds

    def vouch(self, at: float) -> None:
        if not self.fresh(at):
            self.since = at
        self.vouched = max(self.vouched, at)


class Choice:
    """`patience` says for each source how long its price is good without another sign, in seconds."""

    def __init__(self, patience: Mapping[Source, float], settle: float) -> None:
        self._states = {source: _SourceState(patience[source]) for source in Source}
        self._settle = settle
        self._current: Source | None = None

    def record(self, source: Source, quote: Quote, now: float) -> None:
        """`source` has just said it."""
        self.recall(source, quote)
        self._states[source].vouch(now)

    def recall(self, source: Source, quote: Quote) -> None:
        """What `source` is known to have said; whether it is still true is not known."""
        self._states[source].quote = quote

    def vouch(self, source: Source, at: float) -> None:
        """What `source` said is known to have been its last word at `at`."""
        if self._states[source].quote is not None:
            self._states[source].vouch(at)

    def quote(self, source: Source) -> Quote | None:
        return self._states[source].quote

    def look(self, now: float) -> View | None:
        """The price now; None if no source ever sent one. This is where the word passes on."""
        states, current = self._states, self._current
        fresh = [source for source in Source if states[source].fresh(now)]
        if current in fresh:
            better = fresh[: fresh.index(current)]
            current = next((each for each in better if states[each].settled(self._settle)), current)
        elif fresh:
            current = fresh[0]
        elif current is None:
            current = next((source for source in Source if states[source].quote is not None), None)
        self._current = current
        if current is None:
            return None
        quote = states[current].quote
        assert quote is not None, "only a price that was sent is confirmed"
        return View(current, quote, current not in fresh)

    def leans_on(self, source: Source, now: float) -> bool:
        """It has the word, and spoke within half of its patience: no other source needs to stand by."""
        return (
            self._current is source and now - self._states[source].vouched < self._states[source].patience / 2
        )
