"""What one client may have: so many connections, so many messages a second. Pure; the caller has the clock."""

from __future__ import annotations

from collections import Counter

MAX_MESSAGE = 16 * 1024  # characters
MESSAGES_A_SECOND = 50
BURST = 100


class Quota:
    """So many at once for each key."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken: Counter[str] = Counter()

    def take(self, key: str) -> bool:
        """False if the key has its share already."""
        if self._taken[key] >= self.limit:
            return False
        self._taken[key] += 1
        return True

    def give_back(self, key: str) -> None:
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]


class Rate:
    """A bucket of `burst` that fills again by `rate` a second. `refused`: how many in a row came too soon."""

    __slots__ = ("_at", "_burst", "_left", "_rate", "refused")

    def __init__(self, now: float, rate: float = MESSAGES_A_SECOND, burst: float = BURST) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = burst, now
        self.refused = 0

    def allows(self, now: float) -> bool:
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        self.refused = 0
        return True
