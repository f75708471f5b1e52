"""Which case to look at first: an isolation forest over how people trade. It raises nothing.

Source: F. T. Liu, K. M. Ting and Z.-H. Zhou, "Isolation Forest", ICDM 2008, as scikit-learn has it. It learns from
all users who traded in the past day and says how easily each is separated from the rest; the number becomes the rank of
the user's cases that are under way. It needs the extra `surveillance`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import connection, transaction

from risk.models.cases import UNDER_WAY, Case

FEATURES = (
    "orders",
    "withdrawn_share",
    "life_seconds",
    "trades",
    "volume_share",
    "aggressive_share",
    "net_share",
    "top_counterparty_share",
)
LEAST_USERS = 10  # among fewer no user is unusual
MOST_USERS = 50_000
TREES = 200

_FEATURES = """
    WITH own AS (
        SELECT buyer_id AS user_id, seller_id AS other, quantity / nullif(avg(quantity) OVER w, 0) AS size,
               1 AS way, (NOT buyer_is_maker)::int AS aggressive
          FROM risk_seentrade WHERE at >= now() - interval '1 day' WINDOW w AS (PARTITION BY symbol)
        UNION ALL
        SELECT seller_id, buyer_id, quantity / nullif(avg(quantity) OVER w, 0), -1, buyer_is_maker::int
          FROM risk_seentrade WHERE at >= now() - interval '1 day' WINDOW w AS (PARTITION BY symbol)
    ), pairs AS (
        SELECT user_id, other, count(*) AS trades, sum(size) AS size, sum(size * way) AS net,
               sum(aggressive) AS aggressive FROM own GROUP BY 1, 2
    ), traded AS (
        SELECT user_id, sum(trades) AS trades, sum(size) AS size, abs(sum(net)) AS net,
               sum(aggressive) AS aggressive, max(size) AS top FROM pairs GROUP BY 1
    ), shown AS (
        SELECT user_id, count(*) AS orders, sum(withdrawn) / sum(quantity) AS withdrawn,
               avg(extract(epoch FROM closed_at - opened_at)) AS life
          FROM risk_shownorder WHERE closed_at >= now() - interval '1 day' AND quantity > 0 GROUP BY 1
    )
    SELECT coalesce(t.user_id, s.user_id)::text, coalesce(s.orders, 0)::float8, coalesce(s.withdrawn, 0)::float8,
           coalesce(s.life, 0)::float8, coalesce(t.trades, 0)::float8,
           coalesce(t.size / nullif(sum(t.size) OVER (), 0), 0)::float8,
           coalesce(t.aggressive::float8 / nullif(t.trades, 0), 0)::float8,
           coalesce(t.net / nullif(t.size, 0), 0)::float8, coalesce(t.top / nullif(t.size, 0), 0)::float8
      FROM traded t FULL JOIN shown s ON s.user_id = t.user_id ORDER BY 1 LIMIT %s"""


class ExtraMissing(Exception):
    """scikit-learn is not installed."""


def rank_cases() -> int:
    """Give each case under way about a user of the past day their rank; how many. Raises ExtraMissing."""
    ranks = unusual(features())
    with transaction.atomic():
        cases = Case.objects.select_for_update().filter(state__in=UNDER_WAY, user__isnull=False)
        ranked = [case for case in cases.order_by("id") if str(case.user_id) in ranks]
        for case in ranked:
            case.rank = ranks[str(case.user_id)]
        Case.objects.bulk_update(ranked, ["rank"], batch_size=500)
    return len(ranked)


def features() -> dict[str, Sequence[float]]:
    """By user, in the order of FEATURES."""
    with connection.cursor() as cursor:
        cursor.execute(_FEATURES, [MOST_USERS])
        return {user: values for user, *values in cursor.fetchall()}


def unusual(known: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """By user, from 0 (as all others) to 1; the same for the same input. Empty if there are too few to compare."""
    try:
        from sklearn.ensemble import IsolationForest
    except ImportError:
        raise ExtraMissing("ranking needs scikit-learn: install the extra [surveillance]") from None
    if len(known) < LEAST_USERS:
        return {}
    users = sorted(known)
    forest = IsolationForest(n_estimators=TREES, random_state=0).fit([known[user] for user in users])
    scores = -forest.score_samples([known[user] for user in users])
    return {user: round(float(score), 4) for user, score in zip(users, scores, strict=True)}
