-- Four eyes: what took two people had two.

-- check approvals_by_another (0; approvals): what was approved was so in time, by another than who asked or whom it concerns
SELECT CASE WHEN state = 'APPROVED' AND (decided_by_id IS NULL OR decided_by_id = requested_by_id
                 OR decided_by_id = about_id OR decided_at >= expires_at) THEN
           format('approval %s (%s): asked for by %s, approved by %s at %s', id, kind, requested_by_id, decided_by_id,
                  decided_at)
       END AS breach
  FROM approvals_approval;

-- check adjustments_approved (1; adjustments in the ledger): each was approved, and is booked as it was approved
SELECT CASE WHEN approved.id IS NULL THEN format('transaction %s: nobody has approved it', booked.id)
            WHEN postings.booked IS DISTINCT FROM approved.amount OR postings.number <> 2 THEN
           format('transaction %s: %s was approved, %s is booked', booked.id, trim_scale(approved.amount),
                  coalesce(trim_scale(postings.booked)::text, 'nothing'))
       END AS breach
  FROM trading_transaction booked
  LEFT JOIN (SELECT adjusted.transaction_id, approval.id, account.id AS account_id,
                    (approval.payload ->> 'amount')::numeric AS amount
               FROM trading_adjustment adjusted
               JOIN approvals_approval approval ON approval.id = adjusted.approval_id
                AND approval.kind = 'ADJUSTMENT' AND approval.state = 'APPROVED'
               JOIN trading_account account ON account.id = adjusted.account_id AND account.kind = 'USER'
                AND account.user_id::text = approval.payload ->> 'user') AS approved
         ON approved.transaction_id = booked.id
  LEFT JOIN LATERAL (SELECT sum(amount) FILTER (WHERE account_id = approved.account_id) AS booked, count(*) AS number
                       FROM trading_posting
                      WHERE id >= booked.id AND id < overlay(booked.id::text PLACING 'ff' FROM 35)::uuid
                        AND transaction_id = booked.id) AS postings ON true
 WHERE booked.kind = 'ADJUSTMENT';

-- check adjustments_booked (1; adjustments): each that was approved stands in the ledger
SELECT CASE WHEN booked.id IS NULL THEN
           format('adjustment %s: transaction %s is not in the ledger', adjusted.approval_id, adjusted.transaction_id)
       END AS breach
  FROM trading_adjustment adjusted
  LEFT JOIN trading_transaction booked ON booked.id = adjusted.transaction_id AND booked.kind = 'ADJUSTMENT';
