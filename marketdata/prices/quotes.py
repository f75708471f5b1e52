"""What a price is, and which ones are refused.

What comes from outside is text: plain decimals, above zero, below 10^15 and with at most 18 places, as the
tables have. It is passed on digit by digit, only without zeros at the end; nothing is rounded.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from exchange.base.decimals import plain

PLACES = 18
LASTING = 3.0  # seconds after which a jump is believed

_PLAIN = re.compile(r"[0-9]{1,15}(\.[0-9]{1,40})?", re.ASCII)


class Quote(NamedTuple):
    """A price as text, and when it was heard or traded (RFC 3339)."""

    price: str
    timestamp: str


def parse(text: str) -> str:
    """The price in `text`, trimmed. Raises ValueError if it is none."""
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"no price: {text[:50]!r}")
    value = Decimal(text)
    price = plain(value)
    if not value or len(price.partition(".")[2]) > PLACES:
        raise ValueError(f"no price: {text[:50]!r}")
    return price


class Gate:
    """Holds a price back that is far from the one before, until it has lasted.

    A market that really jumped stays where it is, and is believed after LASTING seconds; a wrong print is
    followed by the old price, and forgotten. The very first price has nothing to be measured by.
    """

    def __init__(self, jump: Decimal) -> None:
        self._jump = jump  # as a fraction: 0.2 is 20 %
        self._last: Decimal | None = None
        self._suspect: Decimal | None = None
        self._since = 0.0

    def passes(self, price: Decimal, now: float) -> bool:
        if self._last is not None and not self._near(price, self._last):
            if self._suspect is None or not self._near(price, self._suspect):
                self._suspect, self._since = price, now
                return False
            if now - self._since < LASTING:
                return False
        self._last, self._suspect = price, None
        return True

    def _near(self, price: Decimal, other: Decimal) -> bool:
        return abs(price - other) <= self._jump * other
