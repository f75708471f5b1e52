"""What all traders count together, and the switch that starts and pauses them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ack:
    """An order was acknowledged as matched: its group, when it was (last) sent and answered (monotonic)."""

    group: str
    sent: float
    answered: float


class Tally:
    """Safe across threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._acks: list[Ack] = []
        self._counts: Counter[str] = Counter()

    def count(self, what: str, times: int = 1) -> None:
        with self._changed:
            self._counts[what] += times

    def acked(self, group: str, sent: float) -> None:
        with self._changed:
            self._acks.append(Ack(group, sent, time.monotonic()))
            self._changed.notify_all()

    def counts(self) -> Counter[str]:
        """A copy."""
        with self._changed:
            return self._counts.copy()

    def acks(self, since: float, until: float) -> Counter[str]:
        """Orders that were both sent and acknowledged between two moments, by group."""
        with self._changed:
            return Counter(ack.group for ack in self._acks if since <= ack.sent and ack.answered <= until)

    def wait_acked(self, since: float, groups: Collection[str], seconds: float) -> dict[str, float]:
        """By group, when the first order sent after `since` was acknowledged, if it was within `seconds`."""
        first: dict[str, float] = {}

        def all_groups() -> bool:
            for ack in reversed(self._acks):
                if ack.answered < since:
                    break
                if ack.sent >= since:
                    first[ack.group] = min(ack.answered, first.get(ack.group, ack.answered))
            return first.keys() >= set(groups)

        with self._changed:
            self._changed.wait_for(all_groups, seconds)
        return first


class Switch:
    """Traders act while it is on. Off, each finishes what it is at."""

    def __init__(self) -> None:
        self.on = threading.Event()
        self.ended = threading.Event()
        self._idle: list[threading.Event] = []

    def join(self) -> threading.Event:
        """A trader's event, to be set while it is idle."""
        idle = threading.Event()
        self._idle.append(idle)
        return idle

    def resume(self) -> None:
        for idle in self._idle:
            idle.clear()
        self.on.set()

    def pause(self, seconds: float) -> bool:
        """True once all are idle, False if some are at it still after `seconds`."""
        self.on.clear()
        deadline = time.monotonic() + seconds
        return all(idle.wait(max(0.0, deadline - time.monotonic())) for idle in self._idle)

    def end(self) -> None:
        self.ended.set()
        self.on.set()
