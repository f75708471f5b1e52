-- The ledger's guards: what keeps the books right for every writer, psql included.
--
-- 1. An account's balance is derived. It changes only here: postings change `available`, the `held` column of orders
--    and pending commands moves funds between `available` and `held`. So, always:
--        available + held = sum of the account's postings
--        held             = sum of what its open orders and amendments hold
-- 2. Postings of a transaction sum to zero per asset when the transaction commits.
-- 3. Transactions, postings, trades and the journal are append-only; a closed order never changes again.
--
-- Everything is set-based: one pass over a statement's rows (transition tables), not a trigger call per row. What a
-- transaction moves is added up while it runs and applied to the accounts when it commits, in the order of their ids:
-- accounts are locked for that moment only, and no two transactions can deadlock over them.

-- What the statements of an open transaction move. Rows live until its commit, so no other transaction ever sees one.
CREATE UNLOGGED TABLE ledger_movement (
    by_transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    account_ids bigint[] NOT NULL,
    available_changes numeric[] NOT NULL,
    held_changes numeric[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX ledger_movement_transaction ON ledger_movement (by_transaction);

-- The plan of the joins is cached per session, maybe while the account table was still small: keep to the indexes.
CREATE FUNCTION ledger_apply_movements() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    ids bigint[];
    available_total numeric[];
    held_total numeric[];
    changed integer;
BEGIN
    WITH own AS (
        DELETE FROM ledger_movement WHERE by_transaction = pg_current_xact_id() RETURNING *
    ), total AS (
        SELECT account_id, sum(available_change) AS available_change, sum(held_change) AS held_change
          FROM own, unnest(account_ids, available_changes, held_changes)
                    AS movement (account_id, available_change, held_change)
         GROUP BY account_id
    )
    SELECT array_agg(account_id ORDER BY account_id), array_agg(available_change ORDER BY account_id),
           array_agg(held_change ORDER BY account_id)
      INTO ids, available_total, held_total
      FROM total;
    IF ids IS NULL THEN
        RETURN NULL;  -- an earlier call of this commit applied it all
    END IF;
    PERFORM 1 FROM trading_account WHERE id = ANY (ids) ORDER BY id FOR NO KEY UPDATE;
    UPDATE trading_account
       SET available = available + change.available_change, held = held + change.held_change
      FROM unnest(ids, available_total, held_total) AS change (account_id, available_change, held_change)
     WHERE trading_account.id = change.account_id;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> cardinality(ids) THEN
        RAISE EXCEPTION 'a posting or hold names an account that does not exist' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ledger_movement_applied AFTER INSERT ON ledger_movement
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_apply_movements();

CREATE FUNCTION ledger_balances_are_derived() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an account stays what it is, and its balances are derived from postings and holds'
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER account_update_guard
    BEFORE UPDATE OF id, kind, institution_id, user_id, asset_id, available, held ON trading_account
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION ledger_balances_are_derived();
CREATE TRIGGER account_delete_guard BEFORE DELETE ON trading_account
    FOR EACH ROW EXECUTE FUNCTION ledger_balances_are_derived();
CREATE TRIGGER account_truncate_guard BEFORE TRUNCATE ON trading_account
    EXECUTE FUNCTION ledger_balances_are_derived();
CREATE TRIGGER account_insert_guard BEFORE INSERT ON trading_account
    FOR EACH ROW WHEN (NEW.available <> 0 OR NEW.held <> 0) EXECUTE FUNCTION ledger_balances_are_derived();

-- Postings -----------------------------------------------------------------------------------------------------------

-- Transactions that a statement left unbalanced. Empty but inside a database transaction that is still at it: the deferred
-- trigger on it is the check, and a COPY whose postings balance among themselves never gets here.
CREATE TABLE ledger_unbalanced (transaction_id uuid NOT NULL, asset_id bigint NOT NULL);

CREATE FUNCTION ledger_apply_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_unbalanced
         SELECT transaction_id, asset_id FROM new_rows GROUP BY transaction_id, asset_id HAVING sum(amount) <> 0;
    IF EXISTS (SELECT 1 FROM (SELECT DISTINCT account_id, asset_id FROM new_rows) AS pair
                 JOIN trading_account ON trading_account.id = pair.account_id
                WHERE trading_account.asset_id <> pair.asset_id) THEN
        RAISE EXCEPTION 'a posting is in another asset than its account' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO ledger_movement (account_ids, available_changes, held_changes)
         SELECT array_agg(account_id), array_agg(change), array_fill(0::numeric, ARRAY[count(*)::integer])
           FROM (SELECT account_id, sum(amount) AS change FROM new_rows GROUP BY account_id) AS total
         HAVING count(*) > 0;
    RETURN NULL;
END $$;

CREATE FUNCTION ledger_check_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total numeric;
BEGIN
    SELECT sum(amount) INTO total FROM trading_posting
     WHERE id >= NEW.transaction_id AND id < overlay(NEW.transaction_id::text PLACING 'ff' FROM 35)::uuid
       AND transaction_id = NEW.transaction_id AND asset_id = NEW.asset_id;
    IF total <> 0 THEN
        RAISE EXCEPTION 'postings of transaction % sum to % in asset %, not to zero',
            NEW.transaction_id, total, NEW.asset_id USING ERRCODE = 'check_violation', CONSTRAINT = 'postings_balance';
    END IF;
    DELETE FROM ledger_unbalanced WHERE transaction_id = NEW.transaction_id AND asset_id = NEW.asset_id;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER postings_balance AFTER INSERT ON ledger_unbalanced
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_balanced();

-- A posting's id is its transaction's with another last byte: that is how a transaction's postings are found.
ALTER TABLE trading_posting ADD CONSTRAINT posting_id_follows_transaction CHECK (
    substring(uuid_send(id) FOR 15) = substring(uuid_send(transaction_id) FOR 15)
    AND get_byte(uuid_send(transaction_id), 15) = 0 AND get_byte(uuid_send(id), 15) BETWEEN 1 AND 254);

-- Both notes of an open transaction are the triggers' own: none is written or removed by hand.
CREATE FUNCTION ledger_notes_are_internal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is written by the ledger''s triggers alone: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER movement_guard BEFORE INSERT OR UPDATE OR DELETE ON ledger_movement
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION ledger_notes_are_internal();
CREATE TRIGGER movement_truncate_guard BEFORE TRUNCATE ON ledger_movement
    EXECUTE FUNCTION ledger_notes_are_internal();
CREATE TRIGGER unbalanced_guard BEFORE INSERT OR UPDATE OR DELETE ON ledger_unbalanced
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION ledger_notes_are_internal();
CREATE TRIGGER unbalanced_truncate_guard BEFORE TRUNCATE ON ledger_unbalanced
    EXECUTE FUNCTION ledger_notes_are_internal();

-- Holds --------------------------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_new_holds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_movement (account_ids, available_changes, held_changes)
         SELECT array_agg(account_id), array_agg(-change), array_agg(change)
           FROM (SELECT hold_account_id AS account_id, sum(held) AS change FROM new_rows
                  WHERE held <> 0 GROUP BY hold_account_id) AS total
         HAVING count(*) > 0;
    RETURN NULL;
END $$;

CREATE FUNCTION ledger_changed_holds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_movement (account_ids, available_changes, held_changes)
         SELECT array_agg(account_id), array_agg(-change), array_agg(change)
           FROM (SELECT account_id, sum(held) AS change
                   FROM (SELECT hold_account_id AS account_id, held FROM new_rows
                         UNION ALL SELECT hold_account_id, -held FROM old_rows) AS movement
                  WHERE account_id IS NOT NULL
                  GROUP BY account_id HAVING sum(held) <> 0) AS total
         HAVING count(*) > 0;
    RETURN NULL;
END $$;

CREATE FUNCTION ledger_deleted_holds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_movement (account_ids, available_changes, held_changes)
         SELECT array_agg(account_id), array_agg(-change), array_agg(change)
           FROM (SELECT hold_account_id AS account_id, -sum(held) AS change FROM old_rows
                  WHERE held <> 0 GROUP BY hold_account_id) AS total
         HAVING count(*) > 0;
    RETURN NULL;
END $$;

-- Append-only --------------------------------------------------------------------------------------------------------

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION refuse_closed_order_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'order % is closed and cannot change', OLD.id USING ERRCODE = 'restrict_violation';
END $$;

-- Prices and quantities are stored in steps that must stay; places in a book are counted by its group.
CREATE FUNCTION refuse_instrument_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'assets, steps and group of instrument % cannot change', OLD.symbol
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER instrument_guard
    BEFORE UPDATE OF symbol, base_id, quote_id, tick_size, lot_size, group_id ON trading_instrument FOR EACH ROW
    WHEN ((OLD.symbol, OLD.base_id, OLD.quote_id, OLD.tick_size, OLD.lot_size) IS DISTINCT FROM
          (NEW.symbol, NEW.base_id, NEW.quote_id, NEW.tick_size, NEW.lot_size)
          OR (OLD.group_id IS NOT NULL AND OLD.group_id IS DISTINCT FROM NEW.group_id))
    EXECUTE FUNCTION refuse_instrument_change();

CREATE TRIGGER order_closed_guard BEFORE UPDATE ON trading_order
    FOR EACH ROW WHEN (OLD.closed_at IS NOT NULL) EXECUTE FUNCTION refuse_closed_order_change();
CREATE TRIGGER order_delete_guard BEFORE DELETE ON trading_order FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER trade_guard BEFORE UPDATE OR DELETE ON trading_trade FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transaction_guard BEFORE UPDATE OR DELETE ON trading_transaction
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER posting_guard BEFORE UPDATE OR DELETE ON trading_posting FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Triggers with transition tables act on the table a statement names: the parent and, made here, any partition.
CREATE FUNCTION guard_table(name regclass, like_table text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF like_table IN ('trading_order', 'trading_pendingcommand') THEN
        EXECUTE format('CREATE TRIGGER holds_inserted AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION ledger_new_holds()', name);
        EXECUTE format('CREATE TRIGGER holds_updated AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows
            NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger_changed_holds()', name);
    END IF;
    IF like_table = 'trading_pendingcommand' THEN
        EXECUTE format('CREATE TRIGGER holds_deleted AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
            FOR EACH STATEMENT EXECUTE FUNCTION ledger_deleted_holds()', name);
    END IF;
    IF like_table = 'trading_posting' THEN
        EXECUTE format('CREATE TRIGGER postings_inserted AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION ledger_apply_postings()', name);
    END IF;
    EXECUTE format('CREATE TRIGGER truncate_guard BEFORE TRUNCATE ON %s EXECUTE FUNCTION refuse_change()', name);
END $$;

SELECT guard_table('trading_order', 'trading_order'), guard_table('trading_order_default', 'trading_order'),
       guard_table('trading_posting', 'trading_posting'), guard_table('trading_posting_default', 'trading_posting'),
       guard_table('trading_trade', 'trading_trade'), guard_table('trading_trade_default', 'trading_trade'),
       guard_table('trading_transaction', 'trading_transaction'),
       guard_table('trading_transaction_default', 'trading_transaction'),
       guard_table('trading_pendingcommand', 'trading_pendingcommand');

-- Storage ------------------------------------------------------------------------------------------------------------

CREATE SEQUENCE trading_order_number;
CREATE UNIQUE INDEX trade_number_default ON trading_trade_default (instrument_id, number);
ALTER TABLE trading_account SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE trading_pendingcommand SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE trading_order_default SET (fillfactor = 70);
