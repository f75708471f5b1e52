-- Deposits and withdrawals: what keeps them true for every writer, psql included.
--
-- 1. What a user asked for never changes; the states follow one another; a closed payment never changes again.
-- 2. A withdrawal holds funds as an order does: the triggers of ledger.sql read its `hold_account_id` and `held`.
-- 3. One that is confirmed or completed has been booked, with its amount, on its account: once, as the ledger's
--    transaction is unique among payments and no payment is closed twice.

CREATE FUNCTION payment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    allowed text[] := CASE TG_TABLE_NAME || ' ' || OLD.state
        WHEN 'trading_deposit REQUESTED' THEN '{CONFIRMED,REJECTED,CANCELLED}'
        WHEN 'trading_withdrawal REQUESTED' THEN '{APPROVED,REJECTED,CANCELLED}'
        WHEN 'trading_withdrawal APPROVED' THEN '{SENT,REJECTED}'
        WHEN 'trading_withdrawal SENT' THEN '{COMPLETED,FAILED}'
        ELSE '{}' END;
    terms text[] := '{id,user_id,asset_id,amount,client_reference,party,account_id,hold_account_id,second_person,
                      trace_id,created_at}';
    term text;
BEGIN
    IF OLD.closed_at IS NOT NULL THEN
        RAISE EXCEPTION '% % is closed and cannot change', TG_TABLE_NAME, OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    FOREACH term IN ARRAY terms LOOP
        IF to_jsonb(OLD) -> term IS DISTINCT FROM to_jsonb(NEW) -> term THEN
            RAISE EXCEPTION '% %: % cannot change', TG_TABLE_NAME, OLD.id, term USING ERRCODE = 'restrict_violation';
        END IF;
    END LOOP;
    IF NEW.state <> OLD.state AND NEW.state <> ALL (allowed) THEN
        RAISE EXCEPTION '% %: % does not follow %', TG_TABLE_NAME, OLD.id, NEW.state, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION payment_begins_requested() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% % begins as REQUESTED, not as %', TG_TABLE_NAME, NEW.id, NEW.state
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION payment_is_booked() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    account bigint := coalesce(to_jsonb(NEW) ->> 'hold_account_id', to_jsonb(NEW) ->> 'account_id')::bigint;
    booked numeric := CASE TG_TABLE_NAME WHEN 'trading_deposit' THEN NEW.amount ELSE -NEW.amount END;
    total numeric;
BEGIN
    SELECT sum(p.amount) INTO total FROM trading_posting p
      JOIN trading_transaction t ON t.id = p.transaction_id
                                AND t.kind = upper(replace(TG_TABLE_NAME, 'trading_', ''))
     WHERE p.id >= NEW.transaction_id AND p.id < overlay(NEW.transaction_id::text PLACING 'ff' FROM 35)::uuid
       AND p.account_id = account;
    IF total IS DISTINCT FROM booked THEN
        RAISE EXCEPTION '% % says that % was booked on account %, the ledger says %', TG_TABLE_NAME, NEW.id, booked,
            account, coalesce(total, 0) USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_booked';
    END IF;
    RETURN NULL;
END $$;

-- Payments of both kinds, alike.
DO $$ DECLARE name text; BEGIN
    FOREACH name IN ARRAY ARRAY['trading_deposit', 'trading_withdrawal'] LOOP
        EXECUTE format('CREATE TRIGGER payment_guard BEFORE UPDATE ON %s
            FOR EACH ROW EXECUTE FUNCTION payment_guard()', name);
        EXECUTE format('CREATE TRIGGER payment_begins BEFORE INSERT ON %s
            FOR EACH ROW WHEN (NEW.state <> ''REQUESTED'') EXECUTE FUNCTION payment_begins_requested()', name);
        EXECUTE format('CREATE CONSTRAINT TRIGGER payment_booked AFTER UPDATE ON %s
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.transaction_id IS NOT NULL)
            EXECUTE FUNCTION payment_is_booked()', name);
        EXECUTE format('CREATE TRIGGER payment_kept BEFORE DELETE ON %s
            FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER truncate_guard BEFORE TRUNCATE ON %s EXECUTE FUNCTION refuse_change()', name);
    END LOOP;
END $$;

CREATE TRIGGER holds_inserted AFTER INSERT ON trading_withdrawal REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_new_holds();
CREATE TRIGGER holds_updated AFTER UPDATE ON trading_withdrawal REFERENCING OLD TABLE AS old_rows
    NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger_changed_holds();

-- Who may trade by their KYC level is read by every intake together with limits and blocks, see limits.sql of risk.
CREATE TRIGGER kyc_profile_changed AFTER INSERT OR UPDATE OF level OR DELETE OR TRUNCATE ON kyc_kycprofile
    FOR EACH STATEMENT EXECUTE FUNCTION risk_count_revision();
CREATE TRIGGER kyc_level_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON kyc_kyclevel
    FOR EACH STATEMENT EXECUTE FUNCTION risk_count_revision();
