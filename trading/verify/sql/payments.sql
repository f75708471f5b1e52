-- Deposits and withdrawals: what they hold, and that what is done was booked, once.

-- check holds_of_withdrawals (3; withdrawals): an open withdrawal holds its amount, a closed one nothing
SELECT CASE WHEN held <> due THEN
           format('withdrawal %s (%s): holds %s, must hold %s', id, state, trim_scale(held), trim_scale(due))
       END AS breach
  FROM (SELECT id, state, held, CASE WHEN closed_at IS NULL THEN amount ELSE 0 END AS due
          FROM trading_withdrawal) AS withdrawals;

-- check payment_accounts (3; payments): a payment is on its user's account, in its asset
SELECT CASE WHEN (account.user_id, account.asset_id) IS DISTINCT FROM (payment.user_id, payment.asset_id) THEN
           format('%s %s: on account %s', payment.kind, payment.id, payment.account_id)
       END AS breach
  FROM (SELECT 'deposit' AS kind, id, user_id, asset_id, account_id FROM trading_deposit
        UNION ALL SELECT 'withdrawal', id, user_id, asset_id, hold_account_id FROM trading_withdrawal) AS payment
  JOIN trading_account account ON account.id = payment.account_id;

-- check payments_booked (1; payments that are booked): what is confirmed or completed stands in the ledger with its amount
SELECT CASE WHEN booked.amount IS DISTINCT FROM payment.amount THEN
           format('%s %s: %s, the ledger has %s', payment.kind, payment.id, trim_scale(payment.amount),
                  coalesce(trim_scale(booked.amount)::text, 'nothing'))
       END AS breach
  FROM (SELECT 'DEPOSIT' AS kind, id, account_id, amount, transaction_id FROM trading_deposit
         WHERE state = 'CONFIRMED'
        UNION ALL
        SELECT 'WITHDRAWAL', id, hold_account_id, -amount, transaction_id FROM trading_withdrawal
         WHERE state = 'COMPLETED') AS payment
  LEFT JOIN (SELECT p.transaction_id, p.account_id, t.kind, sum(p.amount) AS amount
               FROM trading_posting p JOIN trading_transaction t ON t.id = p.transaction_id
              WHERE t.kind IN ('DEPOSIT', 'WITHDRAWAL')
              GROUP BY p.transaction_id, p.account_id, t.kind) AS booked
         ON booked.transaction_id = payment.transaction_id AND booked.account_id = payment.account_id
        AND booked.kind = payment.kind;

-- check withdrawals_asked_for (1; withdrawals in the ledger): each is that of a completed withdrawal
SELECT CASE WHEN withdrawal.id IS NULL THEN
           format('transaction %s: no completed withdrawal is booked by it', booked.id)
       END AS breach
  FROM trading_transaction booked
  LEFT JOIN trading_withdrawal withdrawal ON withdrawal.transaction_id = booked.id AND withdrawal.state = 'COMPLETED'
 WHERE booked.kind = 'WITHDRAWAL';
