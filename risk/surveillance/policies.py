"""Which thresholds hold for whom: the operators' rules laid over our own."""

from __future__ import annotations

from typing import NamedTuple

from django.db import connection

from risk.detectors import registry
from risk.detectors.records import Finding
from risk.detectors.registry import DEFAULT, Rules
from risk.models.surveillance import SurveillanceRule


class Policy(NamedTuple):
    """`institutions` whose users it is about; None: all that have no policy of their own."""

    rules: Rules
    institutions: frozenset[str] | None
    others: frozenset[str]  # institutions with a policy of their own

    def concerns(self, finding: Finding, institution_of: dict[str, str]) -> bool:
        """Whether one of those who take part is under this policy."""
        theirs = {institution_of.get(user, "") for user in finding.users}
        return bool(theirs - self.others if self.institutions is None else theirs & self.institutions)


def read() -> list[Policy]:
    """Institutions with the same rules share a policy, so that nothing is looked at twice for no reason."""
    own: dict[str, list[SurveillanceRule]] = {}
    general: list[SurveillanceRule] = []
    for rule in SurveillanceRule.objects.all():
        if rule.institution_id is None:
            general.append(rule)
        else:
            own.setdefault(str(rule.institution_id), []).append(rule)
    basis = _over(DEFAULT, general)
    alike: list[tuple[Rules, set[str]]] = []
    for institution, rules in sorted(own.items()):
        theirs = _over(basis, rules)
        for known, institutions in alike:
            if known == theirs:
                institutions.add(institution)
                break
        else:
            alike.append((theirs, {institution}))
    others = frozenset(own)
    return [
        Policy(basis, None, others),
        *(Policy(rules, frozenset(institutions), others) for rules, institutions in alike),
    ]


def institution_of(users: set[str]) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id::text, coalesce(institution_id::text, '') FROM members_user WHERE id = ANY (%s::uuid[])",
            [sorted(users)],
        )
        return dict(cursor.fetchall())


def _over(basis: Rules, rules: list[SurveillanceRule]) -> Rules:
    thresholds, severities = dict(basis.thresholds), dict(basis.severities)
    for rule in rules:
        kind = registry.detector(rule.kind).kind
        thresholds.pop(kind, None)
        if rule.enabled:
            thresholds[kind] = registry.parse(kind, rule.thresholds)
        severities[kind] = rule.severity
    return Rules(thresholds, severities)
