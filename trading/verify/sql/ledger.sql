-- Money: postings, balances and holds.
--
-- How these files are read is said in trading/verify/check.py; each query can be run in psql as it stands.

-- check postings_balance (1; transactions by asset): postings of a transaction sum to zero per asset
SELECT CASE WHEN sum(amount) <> 0 THEN
           format('transaction %s: postings in %s sum to %s', transaction_id,
                  (SELECT code FROM trading_asset WHERE id = asset_id), trim_scale(sum(amount)))
       END AS breach
  FROM trading_posting
 GROUP BY transaction_id, asset_id;

-- check posting_assets (1; postings): a posting is in the asset of its account
SELECT CASE WHEN account.asset_id <> posting.asset_id THEN
           format('posting %s: in asset %s on account %s, which is in asset %s', posting.id, posting.asset_id,
                  account.id, account.asset_id)
       END AS breach
  FROM trading_posting posting
  JOIN trading_account account ON account.id = posting.account_id;

-- check balances_derived (1; accounts): available + held is the sum of an account's postings
SELECT CASE WHEN account.available + account.held <> coalesce(posted.total, 0) THEN
           format('account %s: available %s + held %s, postings sum to %s', account.id, trim_scale(available),
                  trim_scale(held), trim_scale(coalesce(posted.total, 0)))
       END AS breach
  FROM trading_account account
  LEFT JOIN (SELECT account_id, sum(amount) AS total FROM trading_posting GROUP BY account_id) AS posted
         ON posted.account_id = account.id;

-- check balances_not_negative (2; accounts): available and held are not negative; custody owes and holds nothing
SELECT CASE WHEN CASE kind WHEN 'CUSTODY' THEN available > 0 OR held <> 0
                           WHEN 'WALLET' THEN held <> 0
                           ELSE available < 0 OR held < 0 END THEN
           format('account %s (%s): available %s, held %s', id, kind, trim_scale(available), trim_scale(held))
       END AS breach
  FROM trading_account;

-- check holds_of_accounts (3; accounts): an account's held is what open orders, amendments and withdrawals hold
SELECT CASE WHEN account.held <> coalesce(outstanding.total, 0) THEN
           format('account %s: held %s, orders, amendments and withdrawals hold %s', account.id, trim_scale(held),
                  trim_scale(coalesce(outstanding.total, 0)))
       END AS breach
  FROM trading_account account
  LEFT JOIN (SELECT hold_account_id, sum(held) AS total
               FROM (SELECT hold_account_id, held FROM trading_order WHERE closed_at IS NULL
                     UNION ALL SELECT hold_account_id, held FROM trading_pendingcommand
                     UNION ALL SELECT hold_account_id, held FROM trading_withdrawal) AS hold
              GROUP BY hold_account_id) AS outstanding
         ON outstanding.hold_account_id = account.id;

-- check nothing_left_behind (1; rows): nothing that a transaction notes for its commit outlives it
SELECT format('movement of transaction %s on accounts %s', by_transaction, account_ids) AS breach FROM ledger_movement
UNION ALL
SELECT format('transaction %s: noted as unbalanced in asset %s', transaction_id, asset_id) FROM ledger_unbalanced;
