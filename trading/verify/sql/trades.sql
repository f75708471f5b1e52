-- Trades: their numbers, their two orders, and the money that they moved.

-- check trade_numbers (5; trades): trade numbers of an instrument run without a gap, from 1 if none is archived
SELECT CASE WHEN number <> before + 1 THEN
           format('trade %s: %s number %s comes after %s', t.id, i.symbol, number, before)
       END AS breach
  FROM (SELECT id, instrument_id, number,
               coalesce(lag(number) OVER (PARTITION BY instrument_id ORDER BY number),
                        CASE WHEN archived.below > '00000000-0000-0000-0000-000000000000' THEN number - 1 ELSE 0 END
               ) AS before
          FROM trading_trade, (SELECT retained_from('trading_trade') AS below) AS archived) AS t
  LEFT JOIN trading_instrument i ON i.id = t.instrument_id;

-- check trade_orders (5; trades): a trade is between a buy and a sell order of two users, in whole steps
SELECT CASE WHEN (b.side, b.instrument_id, b.user_id) IS DISTINCT FROM ('BUY', t.instrument_id, t.buyer_id) THEN
           format('trade %s: %s is no buy order of user %s there', t.id, t.buyer_order_id, t.buyer_id)
       WHEN (s.side, s.instrument_id, s.user_id) IS DISTINCT FROM ('SELL', t.instrument_id, t.seller_id) THEN
           format('trade %s: %s is no sell order of user %s there', t.id, t.seller_order_id, t.seller_id)
       WHEN t.buyer_id = t.seller_id THEN format('trade %s: buyer and seller are user %s', t.id, t.buyer_id)
       WHEN t.quantity <= 0 OR t.price <= 0 OR t.quantity % i.lot_size <> 0 OR t.price % i.tick_size <> 0 THEN
           format('trade %s: %s at %s', t.id, trim_scale(t.quantity), trim_scale(t.price))
       END AS breach
  FROM trading_trade t
  LEFT JOIN trading_order b ON b.id = t.buyer_order_id
  LEFT JOIN trading_order s ON s.id = t.seller_order_id
  LEFT JOIN trading_instrument i ON i.id = t.instrument_id;

-- check trade_fees (1; fees): a fee is the order's rate on what it receives, rounded up, and not above it
WITH side AS (
    SELECT t.id, t.quantity AS amount, t.buyer_fee AS fee, power(10::numeric, a.scale) AS minor_units,
           CASE WHEN t.is_buyer_maker THEN o.maker_fee_rate ELSE o.taker_fee_rate END AS rate
      FROM trading_trade t
      JOIN trading_order o ON o.id = t.buyer_order_id
      JOIN trading_instrument i ON i.id = t.instrument_id
      JOIN trading_asset a ON a.id = i.base_id
    UNION ALL
    SELECT t.id, t.price * t.quantity, t.seller_fee, power(10::numeric, a.scale),
           CASE WHEN t.is_buyer_maker THEN o.taker_fee_rate ELSE o.maker_fee_rate END
      FROM trading_trade t
      JOIN trading_order o ON o.id = t.seller_order_id
      JOIN trading_instrument i ON i.id = t.instrument_id
      JOIN trading_asset a ON a.id = i.quote_id
)
SELECT CASE WHEN fee <> least(amount, ceil(amount * minor_units * rate / 1000000) / minor_units) THEN
           format('trade %s: a fee of %s on %s at %s millionths', id, trim_scale(fee), trim_scale(amount), rate)
       END AS breach
  FROM side;

-- check trade_postings (1; trades): a trade moved both amounts and both fees, between the right accounts
--
-- Its postings are six legs, each with a bit of its own; those of zero are left out. If all legs that are due are
-- there and there are as many postings, each leg is there once and nothing else is.
WITH leg AS (
    SELECT t.id, i.base_id, i.quote_id, t.quantity, t.price * t.quantity AS notional, t.buyer_fee, t.seller_fee,
           b.hold_account_id AS buyer_pays, b.receive_account_id AS buyer_gets, buyer_house.id AS buyer_fee_to,
           s.hold_account_id AS seller_pays, s.receive_account_id AS seller_gets, seller_house.id AS seller_fee_to
      FROM trading_trade t
      JOIN trading_instrument i ON i.id = t.instrument_id
      JOIN trading_order b ON b.id = t.buyer_order_id
      JOIN trading_order s ON s.id = t.seller_order_id
      JOIN trading_account bought ON bought.id = b.receive_account_id
      JOIN trading_account sold ON sold.id = s.receive_account_id
      LEFT JOIN trading_account buyer_house
             ON (buyer_house.kind, buyer_house.asset_id, buyer_house.institution_id)
              = ('FEES', bought.asset_id, bought.institution_id)
      LEFT JOIN trading_account seller_house
             ON (seller_house.kind, seller_house.asset_id, seller_house.institution_id)
              = ('FEES', sold.asset_id, sold.institution_id)
), posted AS (
    SELECT leg.id, p.id AS posting_id,
           1 + CASE WHEN notional > seller_fee THEN 2 ELSE 0 END + CASE WHEN seller_fee > 0 THEN 4 ELSE 0 END
         + 8 + CASE WHEN quantity > buyer_fee THEN 16 ELSE 0 END + CASE WHEN buyer_fee > 0 THEN 32 ELSE 0 END AS due,
           CASE WHEN p.id IS NULL THEN 0
                WHEN (p.account_id, p.asset_id, p.amount) = (buyer_pays, quote_id, -notional) THEN 1
                WHEN (p.account_id, p.asset_id, p.amount) = (seller_gets, quote_id, notional - seller_fee) THEN 2
                WHEN (p.account_id, p.asset_id, p.amount) = (seller_fee_to, quote_id, seller_fee) THEN 4
                WHEN (p.account_id, p.asset_id, p.amount) = (seller_pays, base_id, -quantity) THEN 8
                WHEN (p.account_id, p.asset_id, p.amount) = (buyer_gets, base_id, quantity - buyer_fee) THEN 16
                WHEN (p.account_id, p.asset_id, p.amount) = (buyer_fee_to, base_id, buyer_fee) THEN 32
                ELSE 64
           END AS leg
      FROM leg
      LEFT JOIN trading_posting p ON p.transaction_id = leg.id
), moved AS (
    SELECT id, count(posting_id) AS postings, max(due) AS due, bit_or(leg) AS legs FROM posted GROUP BY id
)
SELECT CASE WHEN legs <> due OR postings <> bit_count(due::bit(8)) THEN
           format('trade %s: %s postings, due are %s; missing or wrong: %s', id, postings, bit_count(due::bit(8)),
                  concat_ws(', ', CASE WHEN due & ~legs & 1 > 0 THEN 'what the buyer pays' END,
                                  CASE WHEN due & ~legs & 2 > 0 THEN 'what the seller receives' END,
                                  CASE WHEN due & ~legs & 4 > 0 THEN 'the fee of the seller' END,
                                  CASE WHEN due & ~legs & 8 > 0 THEN 'what the seller delivers' END,
                                  CASE WHEN due & ~legs & 16 > 0 THEN 'what the buyer receives' END,
                                  CASE WHEN due & ~legs & 32 > 0 THEN 'the fee of the buyer' END,
                                  CASE WHEN due & ~legs = 0 THEN 'what is beyond them' END))
       END AS breach
  FROM moved;

-- check trade_transactions (1; trades): each trade has its ledger transaction, and each of these its trade
SELECT CASE WHEN l.id IS NULL THEN format('trade %s: has no ledger transaction', t.id)
            WHEN t.id IS NULL THEN format('transaction %s: of a trade that is not there', l.id)
       END AS breach
  FROM trading_trade t
  FULL JOIN (SELECT id FROM trading_transaction, (SELECT retained_from('trading_trade') AS below) AS archived
              WHERE kind = 'TRADE' AND id >= below) AS l ON l.id = t.id;
