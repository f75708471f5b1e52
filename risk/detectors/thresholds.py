"""What counts as suspicious: one frozen set of thresholds a kind, with its bounds, defaults and a word to each.

An operator changes them in the admin (`risk.models.Rule`), for an institution or for everybody; `parse` is what
checks them there. The defaults were tuned on seeds 1 to 8 of the evaluation; it reports on others.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from risk.detectors.records import AbuseKind


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times are in seconds, shares from 0 to 1."""


class WashTrade(Thresholds, frozen=True):
    window: Annotated[int, Meta(ge=60, le=604_800, description="seconds looked at together")] = 86_400
    least_trades: Annotated[int, Meta(ge=1, le=1000, description="trades of an owner with themselves")] = 3
    least_share: Annotated[
        float, Meta(gt=0, le=1, description="of all that the accounts concerned traded")
    ] = 0.1


class WashRing(Thresholds, frozen=True):
    longest_window: Annotated[
        int, Meta(ge=3600, le=604_800, description="seconds; of 1 hour, 1 day and 7 days those up to it")
    ] = 604_800
    margin: Annotated[
        float,
        Meta(gt=0, le=0.5, description="how far from even each one's position may end, of their volume"),
    ] = 0.02
    same_size: Annotated[
        float, Meta(ge=0, le=0.2, description="by which two quantities may differ and be taken for the same")
    ] = 0.03
    least_handed_on: Annotated[
        float, Meta(gt=0, le=1, description="of all their quantities, passed on in the same size")
    ] = 0.5
    least_trades: Annotated[
        int, Meta(ge=2, le=1000, description="trades inside the group, for each member")
    ] = 3
    least_share: Annotated[
        float, Meta(gt=0, le=1, description="inside the group, of all that its members traded")
    ] = 0.3
    most_members: Annotated[int, Meta(ge=2, le=50, description="larger groups are no ring")] = 10


class DeceptiveDepth(Thresholds, frozen=True):
    """Spoofing and layering: depth shown on one side for the sake of an own fill on the other."""

    window: Annotated[int, Meta(ge=60, le=86_400, description="seconds in which the episodes must be")] = 3600
    least_episodes: Annotated[int, Meta(ge=1, le=100, description="times that it happened")] = 2
    longest_life: Annotated[int, Meta(ge=1, le=3600, description="seconds from the bait to the fill")] = 60
    longest_wait: Annotated[
        int, Meta(ge=1, le=3600, description="seconds from the fill to the withdrawal")
    ] = 10
    least_imbalance: Annotated[
        float, Meta(gt=0.5, le=1, description="bait, of all that the owner showed on both sides at the fill")
    ] = 0.8
    least_size: Annotated[
        float, Meta(gt=0, le=1000, description="bait as a multiple of the market's mean order")
    ] = 1.5
    most_filled: Annotated[float, Meta(ge=0, le=1, description="of the bait, if it was hit")] = 0.1
    farthest: Annotated[
        float, Meta(gt=0, le=1, description="of the price: what is shown beyond that misleads nobody")
    ] = 0.02
    least_share: Annotated[
        float, Meta(gt=0, le=1, description="bait, of all depth that the owner withdrew in the window")
    ] = 0.4


class Spoofing(DeceptiveDepth, frozen=True):
    """One or two large orders; with more prices than that it is layering."""


class Layering(DeceptiveDepth, frozen=True):
    least_layers: Annotated[
        int, Meta(ge=2, le=100, description="prices at which bait is shown at a time")
    ] = 3


class MomentumIgnition(Thresholds, frozen=True):
    window: Annotated[int, Meta(ge=300, le=86_400, description="seconds looked at; volatility is theirs")] = (
        3600
    )
    longest_gap: Annotated[
        int, Meta(ge=1, le=600, description="seconds between aggressive orders of a burst")
    ] = 10
    longest_burst: Annotated[int, Meta(ge=1, le=3600, description="seconds")] = 120
    least_orders: Annotated[int, Meta(ge=2, le=1000, description="aggressive orders in the burst")] = 4
    least_share: Annotated[
        float, Meta(gt=0, le=1, description="own part of the aggressive volume of that side meanwhile")
    ] = 0.6
    least_sigmas: Annotated[
        float, Meta(gt=0, le=100, description="move of the price, in standard deviations for such a time")
    ] = 3.0
    longest_exit: Annotated[
        int, Meta(ge=1, le=86_400, description="seconds from the burst to the way out")
    ] = 150
    most_trend: Annotated[
        float, Meta(ge=0, le=100, description="move before the burst, in the same measure: more is following")
    ] = 1.5
    least_exit: Annotated[
        float, Meta(gt=0, le=1, description="of the burst, traded back at a better price")
    ] = 0.5


KINDS: dict[AbuseKind, type[Thresholds]] = {
    AbuseKind.WASH_TRADE: WashTrade,
    AbuseKind.WASH_RING: WashRing,
    AbuseKind.SPOOFING: Spoofing,
    AbuseKind.LAYERING: Layering,
    AbuseKind.MOMENTUM_IGNITION: MomentumIgnition,
}
SEVERITIES: dict[AbuseKind, int] = {  # unless a rule says otherwise; as risk.models.cases.Severity
    AbuseKind.WASH_TRADE: 3,
    AbuseKind.WASH_RING: 3,
    AbuseKind.SPOOFING: 3,
    AbuseKind.LAYERING: 3,
    AbuseKind.MOMENTUM_IGNITION: 2,
}


class Rules(msgspec.Struct, frozen=True):
    """What holds for one institution or more: a kind that is not in it is not looked for."""

    thresholds: dict[AbuseKind, Thresholds]
    severities: dict[AbuseKind, int]


DEFAULT = Rules({kind: type_() for kind, type_ in KINDS.items()}, SEVERITIES)


def parse(kind: str, values: dict[str, Any]) -> Thresholds:
    """Raises ValueError, naming what is wrong; what is not given is the default."""
    try:
        return msgspec.convert(values, KINDS[AbuseKind(kind)])
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
