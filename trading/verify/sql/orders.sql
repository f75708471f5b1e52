-- Orders: what they hold, what has been filled, and where they stand.

-- check holds_of_orders (3; orders): an order holds what its remaining quantity may cost; a closed one nothing
SELECT CASE WHEN held <> due THEN
           format('order %s (%s %s): holds %s, must hold %s', id, side, status, trim_scale(held), trim_scale(due))
       END AS breach
  FROM (SELECT id, side, status, held,
               CASE WHEN closed_at IS NOT NULL THEN 0
                    WHEN side = 'BUY' THEN coalesce(price, protection_price) * remaining_quantity
                    ELSE remaining_quantity
               END AS due
          FROM trading_order) AS orders;

-- check hold_accounts (3; orders): an order pays from and is paid into its user's accounts, in the right assets
SELECT CASE WHEN (pays.user_id, pays.asset_id) IS DISTINCT FROM
                 (o.user_id, CASE o.side WHEN 'BUY' THEN i.quote_id ELSE i.base_id END)
              OR (gets.user_id, gets.asset_id) IS DISTINCT FROM
                 (o.user_id, CASE o.side WHEN 'BUY' THEN i.base_id ELSE i.quote_id END) THEN
           format('order %s (%s %s): pays from account %s, is paid into %s', o.id, o.side, i.symbol,
                  o.hold_account_id, o.receive_account_id)
       END AS breach
  FROM trading_order o
  JOIN trading_instrument i ON i.id = o.instrument_id
  JOIN trading_account pays ON pays.id = o.hold_account_id
  JOIN trading_account gets ON gets.id = o.receive_account_id;

-- check fills_of_orders (5; orders): an order's filled quantity, notional and fee are the sums of its trades
--
-- Of an order that is older than the oldest trade here, some trades may be in an archive.
SELECT CASE WHEN (o.filled_quantity, o.filled_notional, o.fee) IS DISTINCT FROM
                 (coalesce(f.quantity, 0), coalesce(f.notional, 0), coalesce(f.fee, 0)) THEN
           format('order %s: filled %s for %s, fee %s; its trades say %s for %s, fee %s', o.id,
                  trim_scale(o.filled_quantity), trim_scale(o.filled_notional), trim_scale(o.fee),
                  trim_scale(coalesce(f.quantity, 0)), trim_scale(coalesce(f.notional, 0)),
                  trim_scale(coalesce(f.fee, 0)))
       END AS breach
  FROM trading_order o
  LEFT JOIN (SELECT order_id, sum(quantity) AS quantity, sum(price * quantity) AS notional, sum(fee) AS fee
               FROM (SELECT buyer_order_id AS order_id, price, quantity, buyer_fee AS fee FROM trading_trade
                     UNION ALL SELECT seller_order_id, price, quantity, seller_fee FROM trading_trade) AS fill
              GROUP BY order_id) AS f ON f.order_id = o.id
 WHERE o.id >= (SELECT retained_from('trading_trade'));

-- check order_quantities (5; orders): filled and remaining are not negative, and together not above the quantity
SELECT CASE WHEN filled_quantity < 0 OR remaining_quantity < 0 OR filled_quantity + remaining_quantity > quantity THEN
           format('order %s: quantity %s, filled %s, remaining %s', id, trim_scale(quantity),
                  trim_scale(filled_quantity), trim_scale(remaining_quantity))
       END AS breach
  FROM trading_order;

-- check order_steps (6; orders): prices are whole ticks, quantities whole lots, and there is a price to match at
SELECT CASE WHEN (o.status <> 'REJECTED' AND coalesce(price, protection_price, 0) <= 0) OR quantity <= 0
              OR price % tick_size <> 0 OR stop_price % tick_size <> 0 OR protection_price % tick_size <> 0
              OR quantity % lot_size <> 0 OR remaining_quantity % lot_size <> 0 OR filled_quantity % lot_size <> 0 THEN
           format('order %s: price %s, quantity %s, remaining %s; tick %s, lot %s', o.id,
                  trim_scale(coalesce(price, protection_price)), trim_scale(quantity), trim_scale(remaining_quantity),
                  trim_scale(tick_size), trim_scale(lot_size))
       END AS breach
  FROM trading_order o
  JOIN trading_instrument i ON i.id = o.instrument_id;

-- check order_statuses (5; orders): an order's status agrees with its quantities and with whether it is closed
SELECT CASE WHEN (closed_at IS NOT NULL) <> (status IN ('FILLED', 'CANCELLED', 'REJECTED')) OR NOT CASE status
           WHEN 'PENDING' THEN filled_quantity = 0 AND remaining_quantity = quantity AND priority IS NULL
           WHEN 'PENDING_TRIGGER' THEN filled_quantity = 0 AND remaining_quantity = quantity AND priority > 0
                                   AND stop_price IS NOT NULL AND triggered_at IS NULL
           WHEN 'OPEN' THEN filled_quantity = 0 AND remaining_quantity > 0 AND priority > 0
                        AND price IS NOT NULL AND time_in_force = 'GTC'
           WHEN 'PARTIALLY_FILLED' THEN filled_quantity > 0 AND remaining_quantity > 0 AND priority > 0
                                    AND price IS NOT NULL AND time_in_force = 'GTC'
           WHEN 'FILLED' THEN filled_quantity = quantity AND remaining_quantity = 0
           WHEN 'CANCELLED' THEN filled_quantity < quantity AND reason <> ''
           WHEN 'REJECTED' THEN filled_quantity = 0 AND priority IS NULL AND reason <> ''
           ELSE false END THEN
           format('order %s: %s %s, filled %s of %s, remaining %s, priority %s, reason %s, closed %s', id, type, status,
                  trim_scale(filled_quantity), trim_scale(quantity), trim_scale(remaining_quantity),
                  coalesce(priority::text, 'none'), coalesce(nullif(reason, ''), 'none'),
                  coalesce(closed_at::text, 'never'))
       END AS breach
  FROM trading_order;

-- check order_numbers (5; order numbers): no two orders have the same number
SELECT CASE WHEN count(*) > 1 THEN
           format('order number %s: %s orders, the first %s', number, count(*), min(id::text))
       END AS breach
  FROM trading_order
 GROUP BY number;

-- check client_orders (5; orders and records): each order has its client order id on record, each record its order
SELECT CASE WHEN o.id IS NULL THEN
           format('client order id %s of user %s: order %s is not there, or has another', k.client_order_id, k.user_id,
                  k.order_id)
       WHEN k.order_id IS DISTINCT FROM o.id THEN
           format('order %s: its client order id %s is on record for %s', o.id, o.client_order_id,
                  coalesce(k.order_id::text, 'no order'))
       END AS breach
  FROM trading_order o
  FULL JOIN trading_clientorder k ON k.user_id = o.user_id AND k.client_order_id = o.client_order_id;

-- check waiting_orders (4; orders that wait; warning): a matcher comes to an order within a minute
SELECT CASE WHEN created_at < now() - interval '1 minute' THEN
           format('order %s: PENDING since %s', id, created_at)
       END AS breach
  FROM trading_order
 WHERE closed_at IS NULL AND status = 'PENDING';

-- check waiting_commands (4; commands that wait; warning): a matcher comes to a command within a minute
SELECT CASE WHEN created_at < now() - interval '1 minute' THEN
           format('%s %s: waits since %s', kind, id, created_at)
       END AS breach
  FROM trading_pendingcommand;
