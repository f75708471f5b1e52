-- What the other packages read of trading: their SQL names these views and none of our tables.
--
-- PostgreSQL folds a plain view into the query that names it, so indexes and partition pruning serve as they do on the
-- tables. To keep it so: columns stand as they are, without expressions; nothing is grouped, sorted or limited; and no
-- view joins what some of its readers have no use for: even a join that PostgreSQL leaves out is thought about first.
--
-- A column that a view shows cannot change its type: such a migration drops the views, and makes them again after it.

CREATE VIEW read_asset AS
    SELECT id, code, scale FROM trading_asset;

-- What is traded: its steps, its matcher's group, and what triggers its stops.
CREATE VIEW read_instrument AS
    SELECT id, symbol, base_id, quote_id, tick_size, lot_size, group_id, status, market_symbol AS outside_symbol,
           trigger_source
      FROM trading_instrument;

-- The same with both assets, for readers that need both.
CREATE VIEW read_market AS
    SELECT i.id, i.symbol, b.code AS base, b.scale AS base_scale, q.code AS quote, q.scale AS quote_scale,
           i.tick_size, i.lot_size, i.group_id, i.status
      FROM trading_instrument i JOIN trading_asset b ON b.id = i.base_id JOIN trading_asset q ON q.id = i.quote_id;

-- A trade; partitioned by day on the id. `number` has no gap within an instrument.
CREATE VIEW read_trade AS
    SELECT id, number, instrument_id, price, quantity, buyer_order_id, seller_order_id, buyer_id, seller_id,
           is_buyer_maker, buyer_fee, seller_fee, executed_at
      FROM trading_trade;

-- An order, whatever became of it, for those who only count; partitioned by month on the id.
CREATE VIEW read_order AS
    SELECT id, user_id FROM trading_order;

-- An order that is not closed, with all that its own user may know. One that no matcher has come to is PENDING.
CREATE VIEW read_open_order AS
    SELECT id, number, client_order_id, user_id, instrument_id, side, type, time_in_force, price, stop_price,
           trigger_price, quantity, filled_quantity, remaining_quantity, filled_notional, fee, status, reason,
           created_at
      FROM trading_order WHERE closed_at IS NULL;

-- What each order in a book adds to the level of its price, as everybody may see it: a level is the sum of its rows.
-- An order's hidden quantity is not in it; today no order has any.
CREATE VIEW read_book_level AS
    SELECT instrument_id, side, price, remaining_quantity AS displayed_quantity
      FROM trading_order WHERE closed_at IS NULL AND status IN ('OPEN', 'PARTIALLY_FILLED');

-- A command that is durable and not yet applied; placed orders are among the open ones.
CREATE VIEW read_pending_command AS
    SELECT "group" AS group_id, created_at FROM trading_pendingcommand;

-- What a user has of an asset.
CREATE VIEW read_balance AS
    SELECT user_id, asset_id, available, held FROM trading_account WHERE kind = 'USER';

-- What a ledger transaction added to a user's account, or took from it if below zero.
CREATE VIEW read_posting AS
    SELECT p.id, p.transaction_id, t.kind, a.user_id, p.asset_id, p.amount
      FROM trading_posting p
      JOIN trading_transaction t ON t.id = p.transaction_id
      JOIN trading_account a ON a.id = p.account_id AND a.kind = 'USER';
