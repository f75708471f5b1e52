"""What makes a detector: a kind of abuse with its thresholds, its severity, how far it looks back, and its picture.

Each stands whole in a file of its own, and has a line in `risk.detectors.registry`. Operators change thresholds in the
admin (`risk.models.SurveillanceRule`), for an institution or for all; `registry.parse` checks them there. The defaults
were tuned on seeds 1 to 8 of the evaluation; it reports on others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Any

import msgspec

from risk.detectors.records import AbuseKind, Among, DisplayedOrder, Finding, Flows, Owners, Trade

FindInOrders = Callable[[str, Sequence[Trade], Sequence[DisplayedOrder], Owners, Any], list[Finding]]
FindInFlows = Callable[[str, Flows, Among, Owners, Any], list[Finding]]


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as suspicious, each with its bounds, its default and a description. Times are in seconds, shares
    from 0 to 1."""


class Picture(StrEnum):
    """How a finding is drawn for its case."""

    GRAPH = "GRAPH"  # who sold to whom
    COURSE = "COURSE"  # orders and trades over time


@dataclass(frozen=True)
class Detector:
    """`severity` as `risk.models.cases.Severity`, unless a rule says otherwise; `look_back` names the threshold that
    says how many seconds are looked at together."""

    kind: AbuseKind
    thresholds: type[Thresholds]
    _: KW_ONLY
    severity: int
    look_back: str = "window"

    def seconds(self, limits: Thresholds) -> int:
        """Looked at together under these thresholds."""
        seconds: int = getattr(limits, self.look_back)
        return seconds


@dataclass(frozen=True, kw_only=True)
class OrderDetector(Detector):
    """Looks at single orders and trades, both by time: `find(symbol, trades, orders, owners, limits)`.

    Kinds that each other's thresholds distinguish are found `together`: their detectors have the same `find`, which
    looks for all of them at once and gets the limits of each by kind.
    """

    find: FindInOrders
    picture: Picture = Picture.COURSE
    together: bool = False


@dataclass(frozen=True, kw_only=True)
class FlowDetector(Detector):
    """Looks at the trades of a window, added up by seller and buyer: `find(symbol, flows, among, owners, limits)`.
    `among` reads single trades of those who have become suspicious. Windows longer than `look_back` are left out."""

    find: FindInFlows
    picture: Picture = Picture.GRAPH
