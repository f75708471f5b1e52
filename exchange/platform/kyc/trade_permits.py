"""Who may trade by their KYC level, in a form that every order can be asked about: `risk.pretrade.rules` keeps it
in memory.

A level's terms and the level of those without a profile say most; what is kept is who differs from that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

from exchange.base.env import env
from exchange.platform.kyc.levels import DEFAULTS, HIGHEST

_TRADING = "SELECT institution_id::text, level, may_trade FROM kyc_kyclevel"
_INSTITUTIONS = "SELECT id::text FROM members_institution"
_PROFILES = """
    SELECT p.user_id::text FROM kyc_kycprofile p
      JOIN unnest(%s::uuid[], %s::smallint[]) AS differing (institution_id, level) USING (institution_id, level)"""


class Permits(NamedTuple):
    """`closed`: no user without a profile may trade. `institutions`: those where it is the other way round, and
    `others` the users for whom it is another than for those of their institution who have no profile."""

    closed: bool = False
    institutions: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    @property
    def open(self) -> bool:
        """True if every user may trade."""
        return not (self.closed or self.institutions or self.others)

    def refuse(self, user_id: str, institution_id: str) -> bool:
        usual = self.closed != (institution_id in self.institutions)
        return usual != (user_id in self.others)


def load(connection: psycopg.Connection[Any]) -> Permits:
    """May raise psycopg.Error."""
    rows = connection.execute(_TRADING).fetchall()
    differing = {(institution or "", level): may for institution, level, may in rows}
    institutions = [institution for (institution,) in connection.execute(_INSTITUTIONS).fetchall()]

    def may_trade(institution: str, level: int) -> bool:
        everywhere = differing.get(("", level), DEFAULTS[level].may_trade)
        return bool(differing.get((institution, level), everywhere))

    usual = env.exchange_kyc_level
    pairs = [
        (institution, level)
        for institution in institutions
        for level in range(HIGHEST + 1)
        if may_trade(institution, level) != may_trade(institution, usual)
    ]
    owners, levels = [owner for owner, _ in pairs], [level for _, level in pairs]
    others = connection.execute(_PROFILES, (owners, levels)).fetchall() if pairs else []
    closed = not may_trade("", usual)
    unlike = frozenset(each for each in institutions if may_trade(each, usual) == closed)
    return Permits(closed, unlike, frozenset(user for (user,) in others))
