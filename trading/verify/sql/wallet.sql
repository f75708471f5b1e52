-- What a bank's own wallet service has reserved, as our ledger mirrors it. Without WALLET=http there is none of it.
-- The service's side of it is compared by `manage.py reconcile_wallet`.

-- check reservations_of_orders (3; reservations): an order's funds came in once, as reserved, and what it left went back once
--
-- RESERVE has the order's id, so that there can't be two; RELEASE is named by the reservation.
WITH came AS (
    SELECT t.id, p.account_id, sum(p.amount) AS amount
      FROM trading_transaction t JOIN trading_posting p ON p.transaction_id = t.id AND p.amount > 0
     WHERE t.kind = 'RESERVE' GROUP BY t.id, p.account_id
)
SELECT CASE WHEN came.id IS NULL AND o.id IS NULL THEN
                CASE WHEN r.state = 'HELD' OR r.release_id IS NOT NULL THEN
                     format('reservation %s: %s, and there is no order', r.id, r.state) END
            WHEN came.id IS NULL THEN
                CASE WHEN o.status <> 'REJECTED' OR r.state = 'HELD' OR r.release_id IS NOT NULL THEN
                     format('reservation %s: %s, and its funds never came in', r.id, r.state) END
            WHEN r.id IS NULL THEN format('transaction %s: reserves what no reservation knows of', came.id)
            WHEN o.id IS NULL THEN format('reservation %s: its funds came in, and there is no order', r.id)
            WHEN (came.account_id, came.amount) IS DISTINCT FROM (o.hold_account_id, r.amount) THEN
                 format('reservation %s: of %s, and %s came into account %s', r.id, trim_scale(r.amount),
                        trim_scale(came.amount), came.account_id)
            WHEN r.state NOT IN ('HELD', 'RELEASING', 'RELEASED') OR (r.state = 'HELD') <> (r.release_id IS NULL) THEN
                 format('reservation %s: %s, although its funds came in', r.id, r.state)
            WHEN r.state <> 'HELD' AND (o.closed_at IS NULL OR r.surplus + used.amount <> r.amount) THEN
                 format('reservation %s: of %s, trades took %s and %s went back; the order is %s', r.id,
                        trim_scale(r.amount), trim_scale(used.amount), trim_scale(r.surplus), o.status)
       END AS breach
  FROM trading_reservation r
  FULL JOIN came ON came.id = r.id
  LEFT JOIN trading_order o ON o.id = coalesce(r.id, came.id)
  LEFT JOIN LATERAL (SELECT CASE o.side WHEN 'BUY' THEN o.filled_notional ELSE o.filled_quantity END AS amount) AS used
         ON true;

-- check releases_of_orders (3; releases): a closed order's account gave back what was left over and what it received
WITH due AS (
    SELECT r.id, r.release_id, o.hold_account_id AS account_id, r.surplus AS amount
      FROM trading_reservation r JOIN trading_order o ON o.id = r.id WHERE r.release_id IS NOT NULL
    UNION ALL
    SELECT r.id, r.release_id, o.receive_account_id,
           CASE o.side WHEN 'BUY' THEN o.filled_quantity ELSE o.filled_notional END - o.fee
      FROM trading_reservation r JOIN trading_order o ON o.id = r.id WHERE r.release_id IS NOT NULL
), gone AS (
    SELECT t.id, p.account_id, -sum(p.amount) AS amount
      FROM trading_transaction t JOIN trading_posting p ON p.transaction_id = t.id AND p.amount < 0
     WHERE t.kind = 'RELEASE' GROUP BY t.id, p.account_id
)
SELECT CASE WHEN due.id IS NULL THEN format('transaction %s: releases what no reservation knows of', gone.id)
            WHEN due.amount <> coalesce(gone.amount, 0) THEN
                 format('reservation %s: %s left account %s, due was %s', due.id,
                        trim_scale(coalesce(gone.amount, 0)), due.account_id, trim_scale(due.amount))
       END AS breach
  FROM due
  FULL JOIN gone ON (gone.id, gone.account_id) = (due.release_id, due.account_id);
