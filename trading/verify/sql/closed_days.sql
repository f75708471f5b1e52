-- Closed days: nothing comes into them, changes or goes after their report was signed.
--
-- How these files are read is said in trading/verify/check.py; each query can be run in psql as it stands.

-- check closed_days (0; totals of closed days): what closed days moved is what their signed reports say
WITH closed AS (
    SELECT array_agg(starts_at ORDER BY starts_at) AS starts, array_agg(day ORDER BY starts_at) AS days,
           max(ends_at) AS until
      FROM trading_endofday
), found AS (
    SELECT closed.days[width_bucket(entry.created_at, closed.starts)] AS day, account.institution_id, account.kind,
           posting.asset_id, count(*) AS postings, coalesce(-sum(amount) FILTER (WHERE amount < 0), 0) AS debits,
           coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS credits
      FROM closed, trading_posting posting
      JOIN trading_transaction entry ON entry.id = posting.transaction_id
      JOIN trading_account account ON account.id = posting.account_id
     WHERE entry.created_at >= closed.starts[1] AND entry.created_at < closed.until
     GROUP BY 1, 2, 3, 4
)
SELECT CASE WHEN coalesce(stored.postings, 0) <> coalesce(found.postings, 0)
              OR coalesce(stored.debits, 0) <> coalesce(found.debits, 0)
              OR coalesce(stored.credits, 0) <> coalesce(found.credits, 0) THEN
           format('day %s, %s of %s in %s: closed with %s postings, %s out and %s in; now %s, %s and %s',
                  coalesce(stored.day_id, found.day), coalesce(stored.kind, found.kind),
                  (SELECT code FROM members_institution
                    WHERE id = coalesce(stored.institution_id, found.institution_id)),
                  (SELECT code FROM trading_asset WHERE id = coalesce(stored.asset_id, found.asset_id)),
                  coalesce(stored.postings, 0), trim_scale(coalesce(stored.debits, 0)),
                  trim_scale(coalesce(stored.credits, 0)), coalesce(found.postings, 0),
                  trim_scale(coalesce(found.debits, 0)), trim_scale(coalesce(found.credits, 0)))
       END AS breach
  FROM trading_daytotal stored
  FULL JOIN found ON found.day = stored.day_id AND found.institution_id = stored.institution_id
                 AND found.kind = stored.kind AND found.asset_id = stored.asset_id;

-- check closing_balances (0; totals of the last closed day): the balances it ended with are still what was posted by then
WITH last AS (SELECT day, ends_at FROM trading_endofday ORDER BY day DESC LIMIT 1),
found AS (
    SELECT account.institution_id, account.kind, posting.asset_id, sum(amount) AS balance
      FROM last, trading_posting posting
      JOIN trading_transaction entry ON entry.id = posting.transaction_id
      JOIN trading_account account ON account.id = posting.account_id
     WHERE entry.created_at < last.ends_at
     GROUP BY 1, 2, 3
), stored AS (
    SELECT total.* FROM last JOIN trading_daytotal total ON total.day_id = last.day
)
SELECT CASE WHEN coalesce(stored.balance, 0) <> coalesce(found.balance, 0) THEN
           format('day %s, %s of %s in %s: ended with %s, postings by then sum to %s now', (SELECT day FROM last),
                  coalesce(stored.kind, found.kind),
                  (SELECT code FROM members_institution
                    WHERE id = coalesce(stored.institution_id, found.institution_id)),
                  (SELECT code FROM trading_asset WHERE id = coalesce(stored.asset_id, found.asset_id)),
                  trim_scale(coalesce(stored.balance, 0)), trim_scale(coalesce(found.balance, 0)))
       END AS breach
  FROM stored
  FULL JOIN found ON found.institution_id = stored.institution_id AND found.kind = stored.kind
                 AND found.asset_id = stored.asset_id;

-- check days_follow (0; closed days): closed days follow each other without a gap
SELECT CASE WHEN before.ends_at <> closed.starts_at THEN
           format('day %s: begins at %s, the day before ended at %s', closed.day, closed.starts_at, before.ends_at)
       END AS breach
  FROM trading_endofday closed
  LEFT JOIN LATERAL (SELECT ends_at FROM trading_endofday earlier WHERE earlier.day < closed.day
                      ORDER BY earlier.day DESC LIMIT 1) AS before ON true;
